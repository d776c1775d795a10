/**
 * bincode in its legacy fixed-width configuration: little-endian integers, u64 lengths, u32 enum tags, u8 option
 * tags. The reader is for hostile input: it checks every bound before it allocates.
 */
import { KmsError } from '../common/errors.ts';

/** Builds an encoding in one growing buffer. Give the expected size to avoid copies. */
export class BincodeWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): this {
    const at = this.#claim(1);
    this.#view.setUint8(at, value);
    return this;
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  u32(value: number): this {
    const at = this.#claim(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  i32(value: number): this {
    const at = this.#claim(4);
    this.#view.setInt32(at, value, true);
    return this;
  }

  /** A u64 or usize: length, count or small value. */
  u64(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError('u64 out of range');
    const at = this.#claim(8);
    this.#view.setUint32(at, value % 2 ** 32, true);
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    return this;
  }

  /** Bytes without a length in front: arrays and ids. */
  raw(bytes: Uint8Array): this {
    const at = this.#claim(bytes.byteLength);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** A byte vector: length, then bytes. */
  vec(bytes: Uint8Array): this {
    return this.u64(bytes.byteLength).raw(bytes);
  }

  string(text: string): this {
    return this.vec(new TextEncoder().encode(text));
  }

  /** Returns the encoding, in an ArrayBuffer of its own if the capacity was exact. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #claim(sizeBytes: number): number {
    const at = this.#length;
    this.#length += sizeBytes;
    if (this.#length > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.byteLength));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** Reads an encoding. Every method throws `REQUEST_INVALID` at the first byte that cannot be right. */
export class BincodeReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes not yet read. */
  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#claim(1));
  }

  bool(): boolean {
    const value = this.u8();
    if (value > 1) throw this.#invalid('a boolean must be 0 or 1');
    return value === 1;
  }

  u32(): number {
    return this.#view.getUint32(this.#claim(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#claim(4), true);
  }

  u64(): number {
    const value = this.#view.getBigUint64(this.#claim(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#invalid('a number is too large');
    return Number(value);
  }

  /** The next bytes, as a view into the input. */
  raw(sizeBytes: number): Uint8Array {
    const at = this.#claim(sizeBytes);
    return this.#bytes.subarray(at, at + sizeBytes);
  }

  /** A byte vector, as a view into the input. */
  vec(): Uint8Array {
    return this.raw(this.u64());
  }

  string(): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.vec());
    } catch (cause) {
      if (cause instanceof KmsError) throw cause;
      throw this.#invalid('a string is not UTF-8');
    }
  }

  /** A vector of elements of which each takes at least `minElementBytes`, so that its count can be believed. */
  list<T>(minElementBytes: number, element: () => T): T[] {
    const count = this.u64();
    if (count * Math.max(1, minElementBytes) > this.remaining) throw this.#invalid('a list is longer than its data');
    return Array.from({ length: count }, element);
  }

  option<T>(value: () => T): T | undefined {
    return this.bool() ? value() : undefined;
  }

  /** Reads a u32 that must have one value: a version, a variant. */
  expectU32(expected: number, what: string): void {
    const found = this.u32();
    if (found !== expected) throw this.#invalid(`${what} must be ${expected}`, { found });
  }

  /** Requires that everything was read. */
  end(): void {
    if (this.remaining > 0) throw this.#invalid('bytes after the end', { trailingBytes: this.remaining });
  }

  #claim(sizeBytes: number): number {
    if (sizeBytes > this.remaining)
      throw this.#invalid('the data is cut', { missingBytes: sizeBytes - this.remaining });
    const at = this.#at;
    this.#at += sizeBytes;
    return at;
  }

  #invalid(message: string, facts: Record<string, number> = {}): KmsError {
    return new KmsError('REQUEST_INVALID', `not a valid encoding: ${message}`, { at: this.#at, ...facts });
  }
}
