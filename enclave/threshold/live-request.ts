/**
 * A request that this engine was asked for, from its announcement until nothing more is owed for it.
 */
import type { OwnRequest } from './approval-book.ts';
import type { Wanted } from './quorum-frame.ts';
import type { ShareCollector } from './share-collector.ts';

/** State of a request. */
export class LiveRequest {
  readonly own: OwnRequest;
  /** Its announcement as it goes out. */
  readonly announcement: Uint8Array;
  readonly #approval = Promise.withResolvers<void>();
  readonly #sentMs = new Map<number, number>();
  /** Resolves when 2t + 1 engines have announced it. */
  readonly approved: Promise<void> = this.#approval.promise;
  isApproved = false;
  /** Why it failed; whoever asks again is told the same. */
  failure: unknown;
  /** Of a public decryption. */
  collector: ShareCollector | undefined;
  /** This party's masked shares as they go out, once they are made. Sent only when approved. */
  shares: Uint8Array | undefined;
  /** Shares of peers that are kept. */
  readonly kept = new Map<number, number>();
  /** Pause before peers are asked again. */
  askAgainMs: number;
  cancelTimer: (() => void) | undefined;

  constructor(own: OwnRequest, announcement: Uint8Array, askAgainMs: number) {
    this.own = own;
    this.announcement = announcement;
    this.askAgainMs = askAgainMs;
    this.approved.catch(() => undefined); // told to whoever waits
  }

  /** Enough engines have announced it. */
  approve(): void {
    this.isApproved = true;
    this.#approval.resolve();
  }

  /** Nothing comes of it any more. */
  fail(error: unknown): void {
    this.failure = error;
    this.#approval.reject(error);
    this.collector?.fail(error);
  }

  /** Returns whether something of this request goes to a peer for the first time, again, or too soon again. */
  turn(what: Wanted, party: number, nowMs: number, pauseMs: number): 'first' | 'again' | 'too soon' {
    const slot = party * 2 + (what === 'shares' ? 1 : 0);
    const sentMs = this.#sentMs.get(slot);
    if (sentMs !== undefined && nowMs - sentMs < pauseMs) return 'too soon';
    this.#sentMs.set(slot, nowMs);
    return sentMs === undefined ? 'first' : 'again';
  }
}
