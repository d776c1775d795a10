/**
 * Which requests are decrypted on the event loop's own thread.
 *
 * The way to the thread pool and back takes as much of that thread as opening an ordinary ciphertext does, and a pool
 * thread's time besides.
 */

/** About 0.2 ms of work; a 99 KB ciphertext takes 0.04 ms. */
const MAX_BYTES = 512 * 1024;
/** Each ciphertext for a user also takes an encapsulation and a signature, 0.05 ms. */
const MAX_CIPHERTEXTS = 8;

/** Returns whether ciphertexts are so few and small that they should be opened on the spot. */
export function openedOnTheSpot(items: readonly { readonly ciphertext: Uint8Array }[]): boolean {
  return (
    items.length <= MAX_CIPHERTEXTS &&
    items.reduce((sum, { ciphertext }) => sum + ciphertext.byteLength, 0) <= MAX_BYTES
  );
}
