/**
 * Replaces the connections to the engine before they must end, and tries again while that fails.
 *
 * No connection outlives the certificate it was made with. New calls go to the new pair as soon as it stands; the old
 * pair ends when its last call has been answered, so that a renewal loses no call. Design §4.
 */
import type { Clock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import type { LinkConnection } from './link-connection.ts';

/** Both connections to the engine, made at the same time. */
export interface EngineLinks {
  readonly calls: LinkConnection;
  readonly bulk: LinkConnection;
  /** When to have the next pair, in milliseconds since 1970; never if absent. */
  readonly renewAtMs?: number | undefined;
}

/** What renewing needs. */
export interface RenewalDeps {
  /** Opens another pair. */
  connect(): Promise<EngineLinks>;
  /** Takes the new pair into use. */
  use(links: EngineLinks): void;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborts when no more connections are wanted. */
  readonly signal: AbortSignal;
  /** Wait after the first failure, and the longest; it doubles in between. */
  readonly retryMs: { readonly first: number; readonly longest: number };
}

/** Longest delay of a timer. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Uses a pair and its successors until one ends before it was replaced; resolves with the reason. */
export async function renewUntilEnd(first: EngineLinks, deps: RenewalDeps): Promise<KmsError> {
  const { clock, log, signal, retryMs } = deps;
  let links = first;
  let waitMs = 0;
  for (;;) {
    const dueInMs = links.renewAtMs === undefined ? MAX_DELAY_MS : Math.max(0, links.renewAtMs - clock.nowMs());
    const ended = await endWithin(links, waitMs === 0 ? dueInMs : waitMs);
    if (ended) return ended;
    if (signal.aborted) return new KmsError('UNAVAILABLE', 'the core is stopping');
    if (links.renewAtMs === undefined || clock.nowMs() < links.renewAtMs) continue;
    try {
      const next = await deps.connect();
      deps.use(next);
      retire(links);
      links = next;
      waitMs = 0;
      log.info({ event: 'engine.link.renewed' });
    } catch (err) {
      waitMs = waitMs === 0 ? retryMs.first : Math.min(waitMs * 2, retryMs.longest);
      log.warn({ event: 'engine.link.renewal-failed', retryInMs: waitMs, err });
    }
  }
}

/** Ends both when their last calls have been answered. */
function retire({ calls, bulk }: EngineLinks): void {
  calls.retire();
  bulk.retire();
}

/** Resolves with the reason if either ends within `ms`, with nothing otherwise. */
async function endWithin({ calls, bulk }: EngineLinks, ms: number): Promise<KmsError | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), Math.min(ms, MAX_DELAY_MS));
  try {
    return await Promise.race([calls.ended, bulk.ended, promise]);
  } finally {
    clearTimeout(timer);
  }
}
