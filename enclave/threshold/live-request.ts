/**
 * A request that this engine was asked for, from its announcement until nothing more is owed for it. What only a request
 * that waits needs goes when it ends: ended ones are many.
 */
import { nameOf, type OwnRequest } from './approval-book.ts';
import { PartySet } from './party-set.ts';
import { encodeEntry, type Wanted } from './quorum-frame.ts';
import type { ShareCollector } from './share-collector.ts';

/** State of a request. */
export class LiveRequest {
  readonly own: OwnRequest;
  /** The epoch whose masks and shares it uses. */
  readonly epochId: string;
  #approval: PromiseWithResolvers<void> | undefined = Promise.withResolvers<void>();
  /** When something was last sent to a party, while it waits; and to whom it was sent at all. */
  #sentMs: Map<number, number> | undefined;
  readonly #given = { announcement: new PartySet(), shares: new PartySet() };
  isApproved = false;
  /** Why it failed; whoever asks again is told the same. */
  failure: unknown;
  /** What was opened; whoever asks again is given the same. */
  opened: Uint8Array[] | undefined;
  /** Of a public decryption that waits, or whose late shares may be looked at. */
  collector: ShareCollector | undefined;
  /** This party's masked shares as they go out, once they are made. Sent only when approved. */
  shares: Uint8Array | undefined;
  /** Bytes of shares of peers that are kept. */
  kept: (readonly [party: number, bytes: number])[] | undefined;
  /** Pause before peers are asked again. */
  askAgainMs: number;
  cancelTimer: (() => void) | undefined;
  /** Callers that wait for it. */
  waiting = 0;

  constructor(own: OwnRequest, epochId: string, askAgainMs: number) {
    this.own = own;
    this.epochId = epochId;
    this.askAgainMs = askAgainMs;
    this.#approval?.promise.catch(() => undefined); // told to whoever waits
  }

  /** Its announcement as it goes out. */
  get announcement(): Uint8Array {
    return encodeEntry({ what: 'announce', name: nameOf(this.own) });
  }

  /** Whether nothing was begun for a public decryption yet. */
  get isFresh(): boolean {
    return !this.collector && !this.opened && this.failure === undefined;
  }

  /** What a public decryption comes to. */
  get result(): Promise<Uint8Array[]> {
    if (this.opened) return Promise.resolve(this.opened);
    return this.collector?.opened ?? Promise.reject(this.failure);
  }

  /** Resolves when 2t + 1 engines have announced it. */
  get approved(): Promise<void> {
    if (this.#approval) return this.#approval.promise;
    return this.isApproved ? Promise.resolve() : Promise.reject(this.failure);
  }

  /** What it waits for, in words. */
  progress(needed: number): string {
    if (!this.isApproved) return `asked at ${this.own.announcedBy.size} of ${needed} parties`;
    return `shares of ${this.collector?.heard.size ?? 0} of ${needed} parties`;
  }

  /** Enough engines have announced it. */
  approve(): void {
    this.isApproved = true;
    this.#approval?.resolve();
  }

  /** Nothing comes of it any more. */
  fail(error: unknown): void {
    this.failure = error;
    this.#approval?.reject(error);
    this.collector?.fail(error);
  }

  /** It waits no more. */
  end(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.#approval = undefined;
    this.#sentMs = undefined;
    this.kept = undefined;
  }

  /** Returns whether something of this request goes to a peer for the first time, again, or too soon again. */
  turn(what: Wanted, party: number, nowMs: number, pauseMs: number): 'first' | 'again' | 'too soon' {
    const slot = party * 2 + (what === 'shares' ? 1 : 0);
    this.#sentMs ??= new Map();
    const sentMs = this.#sentMs.get(slot);
    if (sentMs !== undefined && nowMs - sentMs < pauseMs) return 'too soon';
    this.#sentMs.set(slot, nowMs);
    const isFirst = !this.#given[what].has(party);
    this.#given[what].add(party);
    return isFirst ? 'first' : 'again';
  }
}
