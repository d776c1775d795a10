/**
 * Large public byte strings (keys, CRSs) that stay in native memory: read chunk by chunk, hashed in place.
 */
import { attempt, attemptAsync } from './load.ts';

/** The native side of {@link NativeBytes}. */
export interface RawBytes {
  readonly size: number;
  chunk(offset: number, size: number): Uint8Array;
  digest(tag: Uint8Array): Promise<Uint8Array>;
  dispose(): void;
}

const DEFAULT_CHUNK_BYTES = 1024 * 1024;

/** Bytes in native memory. Dispose of them as soon as they are stored: a production key set has 511 MB. */
export class NativeBytes {
  readonly #raw: RawBytes;

  constructor(raw: RawBytes) {
    this.#raw = raw;
  }

  /** Length in bytes; 0 once disposed of. */
  get size(): number {
    return this.#raw.size;
  }

  /** Copies out up to `size` bytes from `offset`; fewer at the end. */
  chunk(offset: number, size: number): Uint8Array {
    return attempt(() => this.#raw.chunk(offset, size));
  }

  /** Gives all bytes, one copied chunk at a time. */
  *chunks(size: number = DEFAULT_CHUNK_BYTES): Generator<Uint8Array> {
    for (let offset = 0; offset < this.size; offset += size) yield this.chunk(offset, size);
  }

  /** SHAKE256(tag ‖ bytes), 32 bytes, computed off the event loop. */
  digest(tag: Uint8Array): Promise<Uint8Array> {
    return attemptAsync(() => this.#raw.digest(tag));
  }

  /** Frees the memory. Repeating it does nothing. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
