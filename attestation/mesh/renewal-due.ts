/** When a connection should be replaced, also one that was opened late in its certificates' life. */

/** Why a connection ends whose successor is open: both ends say so. */
export const RENEWED = 'renewed';

/** Longest wait before it is tried again to get a connection with a whole life before it. */
const LOOK_AGAIN_MS = 60_000;
/** Shortest wait: a handshake must be worth it. */
const LEAST_MS = 250;

/**
 * Returns the time, in milliseconds since the epoch, to open the successor of a connection.
 *
 * Mostly that is `renewAtMs`. A peer whose attester is out of order goes on with an old certificate, so that a new
 * connection is due at once; to dial in a loop would help nobody. Such a one is replaced after a third of what is left of
 * it, a minute at most.
 */
export function renewalDueMs(
  { renewAtMs, closeAtMs }: { readonly renewAtMs: number; readonly closeAtMs: number },
  openedAtMs: number,
): number {
  if (renewAtMs > openedAtMs) return renewAtMs;
  return openedAtMs + Math.min(Math.max((closeAtMs - openedAtMs) / 3, LEAST_MS), LOOK_AGAIN_MS);
}
