/**
 * Gives the memory of large buffers back at once, where the collector would give it back in time.
 *
 * V8 collects its whole heap for every 64 MB of buffers, however small the heap is: at some hundred ciphertexts a second
 * that is a fifth of an engine's work. Native work reads buffers where they lie, on threads of its own: what it was lent
 * is never freed under it, whoever asks.
 */

/** Buffers that native work reads now, and by how many calls. */
const lent = new Map<ArrayBufferLike, number>();

/** Runs native work that reads the bytes off the event loop: {@link freeBuffer} leaves them alone until it has settled. */
export async function lending<T>(bytes: readonly Uint8Array[], work: () => Promise<T>): Promise<T> {
  for (const { buffer } of bytes) lent.set(buffer, (lent.get(buffer) ?? 0) + 1);
  try {
    return await work();
  } finally {
    for (const { buffer } of bytes) {
      const others = (lent.get(buffer) ?? 1) - 1;
      if (others === 0) lent.delete(buffer);
      else lent.set(buffer, others);
    }
  }
}

/**
 * Frees the memory of bytes that have an ArrayBuffer to themselves. Every view of it is empty from then on, so whoever
 * calls this is the last to know of it. Parts of a larger buffer are left to the collector, as is what native work reads.
 */
export function freeBuffer({ buffer, byteLength }: Uint8Array): void {
  if (byteLength === 0 || buffer.byteLength !== byteLength || lent.has(buffer)) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
