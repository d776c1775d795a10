/** A caller's wait: bounded by a window and by its signal, and without effect on what is waited for. */
import { KmsError } from '../../common/errors.ts';
import type { QuorumTimers } from './quorum-links.ts';

/** Settings of {@link waitWithin}. */
export interface WaitOptions {
  readonly timers: QuorumTimers;
  /** May be without end. */
  readonly windowMs: number;
  readonly signal: AbortSignal;
  /** What to throw at the end of the window. */
  readonly late: () => KmsError;
}

/**
 * Waits for a result.
 *
 * @throws {@link KmsError} `CANCELLED` by the signal, what `late` gives at the end of the window, or the result's own.
 */
export async function waitWithin<T>(result: Promise<T>, { timers, windowMs, signal, late }: WaitOptions): Promise<T> {
  const { promise: given, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new KmsError('CANCELLED', 'no longer waiting for the quorum'));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const isEndless = windowMs === Number.POSITIVE_INFINITY;
  const cancel = isEndless ? undefined : timers.at(timers.monotonicMs() + windowMs, () => reject(late()));
  try {
    return await Promise.race([result, given]);
  } finally {
    cancel?.();
    signal.removeEventListener('abort', onAbort);
  }
}
