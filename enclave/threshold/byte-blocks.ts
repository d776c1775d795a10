/**
 * Short byte strings that are kept for thousands of requests, side by side in large blocks: a buffer of its own costs each
 * of them more than its bytes, and each collection a look at it.
 *
 * A block goes when the last string in it is forgotten. Strings that are forgotten in about the order in which they came,
 * as those of ended requests are, hold up little.
 */

const BLOCK_BYTES = 64 * 1024;
/** Longer strings get a buffer of their own. */
const MOST_BYTES = BLOCK_BYTES / 16;

/** See the file comment. */
export class ByteBlocks {
  #block = new Uint8Array(0);
  #at = 0;

  /** Returns a copy of bytes, which nobody else writes to. */
  keep(bytes: Uint8Array): Uint8Array {
    const { byteLength } = bytes;
    if (byteLength > MOST_BYTES) return Uint8Array.from(bytes);
    if (this.#block.byteLength - this.#at < byteLength) {
      this.#block = new Uint8Array(BLOCK_BYTES);
      this.#at = 0;
    }
    const kept = this.#block.subarray(this.#at, this.#at + byteLength);
    kept.set(bytes);
    this.#at += byteLength;
    return kept;
  }
}
