/**
 * Looks after requests that wait: asks peers again for what they have not sent, and gives requests up in the end.
 *
 * Links lose frames with a connection only, so peers are not asked again before a request takes much longer than others
 * have: under load, asking would be most of the load.
 */
import { nameOf } from './approval-book.ts';
import type { LiveRequest } from './live-request.ts';
import type { Outbox } from './outbox.ts';
import { encodeEntry } from './quorum-frame.ts';
import type { QuorumLimits } from './quorum-limits.ts';
import type { QuorumTimers } from './quorum-links.ts';

/** What reminding needs. */
export interface RemindersOptions {
  readonly peers: readonly number[];
  readonly outbox: Outbox;
  readonly timers: QuorumTimers;
  readonly limits: Pick<QuorumLimits, 'failAfterMs' | 'askAgainMs' | 'askAgainMostMs'>;
  /** A request has waited as long as it may. */
  readonly onExpired: (live: LiveRequest) => void;
}

/** The first pause is so many times what requests have taken of late, and at most this. */
const PATIENCE = 2;
const FIRST_PAUSE_MOST_MS = 1000;
/** How much the last request counts in what requests have taken. */
const WEIGHT = 0.1;

/** See the file comment. */
export class Reminders {
  readonly #options: RemindersOptions;
  #takenMs = 0;

  constructor(options: RemindersOptions) {
    this.#options = options;
  }

  /** How long a request waits before peers are asked again. */
  get firstPauseMs(): number {
    return Math.max(this.#options.limits.askAgainMs, PATIENCE * this.#takenMs);
  }

  /** A request waits no more. */
  ended({ own, failure }: LiveRequest): void {
    if (failure !== undefined) return;
    const takenMs = Math.min(this.#options.timers.monotonicMs() - own.sinceMs, FIRST_PAUSE_MOST_MS / PATIENCE);
    this.#takenMs += WEIGHT * (takenMs - this.#takenMs);
  }

  /** Sets the next look at a request, in place of the one that was set. */
  arm(live: LiveRequest): void {
    live.cancelTimer?.();
    if (live.own.endedMs !== undefined) return;
    const { timers, limits, onExpired } = this.#options;
    // Openings of zero wait for parties that are away for as long as it takes: they hold nobody up.
    const failAtMs = live.own.kind === 'zero' ? Number.POSITIVE_INFINITY : live.own.sinceMs + limits.failAfterMs;
    const nextMs = Math.min(timers.monotonicMs() + live.askAgainMs, failAtMs);
    live.cancelTimer = timers.at(nextMs, () => {
      if (timers.monotonicMs() >= failAtMs) {
        onExpired(live);
        return;
      }
      this.#askAgain(live);
      live.askAgainMs = Math.min(live.askAgainMs * 2, limits.askAgainMostMs);
      this.arm(live);
    });
  }

  #askAgain({ own, isApproved, announcement, collector }: LiveRequest): void {
    const { peers, outbox } = this.#options;
    const { digest } = nameOf(own);
    const heard = collector?.heard ?? new Set();
    for (const party of peers) {
      if (isApproved && heard.has(party)) continue;
      if (!isApproved && own.announcedBy.has(party)) continue;
      const wanted = isApproved && own.announcedBy.has(party) ? 'shares' : 'announcement';
      outbox.push(party, announcement);
      outbox.push(party, encodeEntry({ what: 'want', digest, wanted }));
    }
  }
}
