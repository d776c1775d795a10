/**
 * Buffers for request bodies that are used again and again.
 *
 * Memory outside of the JavaScript heap is what makes the collector run: a fresh 99 KB for each call costs more CPU in
 * collections than the call itself takes in HTTP/2. A buffer comes back only when nobody can read it any more.
 */

/** Sizes that are kept: most requests carry one ciphertext of 99 KB, or a few. */
const SIZES: readonly number[] = [128 * 1024, 256 * 1024];
/** Most bytes that lie idle. */
const MAX_IDLE_BYTES = 32 * 1024 * 1024;

/** A pool of buffers. */
export interface BufferPool {
  /** Returns a buffer of at least this size, with whatever was in it. */
  take(sizeBytes: number): Uint8Array;
  /** Takes a buffer back. Whoever calls this must be the last to know of it. */
  give(buffer: Uint8Array): void;
}

/** Opens an empty pool. */
export function openBufferPool(): BufferPool {
  const idle = SIZES.map((): Uint8Array[] => []);
  let idleBytes = 0;
  return {
    take(sizeBytes) {
      const index = SIZES.findIndex((size) => size >= sizeBytes);
      const known = idle[index]?.pop();
      if (known) idleBytes -= known.byteLength;
      return known ?? Buffer.allocUnsafeSlow(SIZES[index] ?? sizeBytes);
    },
    give(buffer) {
      const index = SIZES.indexOf(buffer.byteLength);
      if (index < 0 || idleBytes + buffer.byteLength > MAX_IDLE_BYTES) return;
      idle[index]?.push(buffer);
      idleBytes += buffer.byteLength;
    },
  };
}
