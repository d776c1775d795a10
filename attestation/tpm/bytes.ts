/**
 * Writing and reading the TPM's structures: big-endian numbers and sized buffers. What is read comes from a device
 * that may be anybody's, so every length is checked.
 */
import { KmsError } from '../../common/errors.ts';

/** Collects a structure. Methods return the writer, so that calls chain in the order of the specification's tables. */
export class TpmWriter {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): this {
    return this.bytes(Uint8Array.of(value));
  }

  u16(value: number): this {
    return this.bytes(Uint8Array.of(value >>> 8, value));
  }

  u32(value: number): this {
    return this.bytes(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
  }

  bytes(value: Uint8Array): this {
    this.#parts.push(value);
    return this;
  }

  /** A buffer with its size in 16 bits before it (`TPM2B_…`). */
  sized(value: Uint8Array): this {
    return this.u16(value.length).bytes(value);
  }

  /** Everything so far, in an array of its own. */
  finish(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.#parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}

/** Takes a structure apart. @throws {@link KmsError} `UNAVAILABLE` from every method when bytes are missing. */
export class TpmReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** A view of the next bytes. */
  take(size: number): Uint8Array {
    if (size > this.remaining) throw new KmsError('UNAVAILABLE', 'the TPM gave a response that is cut short');
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  u8(): number {
    return this.#number(1);
  }

  u16(): number {
    return this.#number(2);
  }

  u32(): number {
    return this.#number(4);
  }

  /** A buffer with its size in 16 bits before it. */
  sized(): Uint8Array {
    return this.take(this.u16());
  }

  #number(size: number): number {
    return this.take(size).reduce((value, byte) => value * 256 + byte, 0);
  }
}
