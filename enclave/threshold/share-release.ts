/**
 * The way out for everything that was asked for again and for all shares: first time at once, later at a bounded rate.
 *
 * Shares leave here and nowhere else, and only those of requests that 2t + 1 engines have announced.
 */
import type { LiveRequest } from './live-request.ts';
import type { Outbox } from './outbox.ts';
import { PeerRate } from './peer-limits.ts';
import type { Wanted } from './quorum-frame.ts';
import type { QuorumLimits } from './quorum-limits.ts';

/** What a release needs. */
export interface ShareReleaseOptions {
  readonly me: number;
  readonly outbox: Outbox;
  readonly limits: Pick<QuorumLimits, 'answerPauseMs' | 'answersBytesPerSecond'>;
  readonly nowMs: () => number;
  /** A peer asks for more than it may. */
  readonly onFlood: (party: number, live: LiveRequest) => void;
}

/** See the file comment. */
export class ShareRelease {
  readonly #options: ShareReleaseOptions;
  readonly #rate: PeerRate;

  constructor(options: ShareReleaseOptions) {
    this.#options = options;
    this.#rate = new PeerRate(options.limits.answersBytesPerSecond);
  }

  /**
   * Gives a peer this party's shares, if they are made and the request is approved. That it did not open here is no reason
   * to keep them: the peer is to find out for itself.
   */
  shares(live: LiveRequest, party: number): void {
    const { shares, isApproved } = live;
    if (!shares || !isApproved || party === this.#options.me) return;
    this.#answer(live, party, 'shares', shares);
  }

  /** Gives a peer this party's announcement. */
  announcement(live: LiveRequest, party: number): void {
    this.#answer(live, party, 'announcement', live.announcement);
  }

  #answer(live: LiveRequest, party: number, what: Wanted, entry: Uint8Array): void {
    const { outbox, limits, nowMs, onFlood } = this.#options;
    const turn = live.turn(what, party, nowMs(), limits.answerPauseMs);
    if (turn === 'too soon') return;
    if (turn === 'first' || this.#rate.take(party, entry.byteLength, nowMs())) outbox.push(party, entry);
    else onFlood(party, live);
  }
}
