/**
 * Decryption by a quorum of engines, as one of them sees it.
 *
 * Nothing that depends on a key share leaves this engine, to peers or to a user, before 2t + 1 engines have announced the
 * same request. Then masked shares go once to each peer that announced it, and a public request is opened as soon as
 * what came decodes: up to t parties that are silent, late or lie change nothing. All state is bounded for each peer,
 * all waits are on the monotonic clock, and what got lost is asked for again, since shares never change.
 * Spec: design section 3, rules 4 to 6; threshold-protocols sections 3.2 to 3.5.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { CiphertextItem } from '../../native/engine/index.ts';
import { ApprovalBook, type OwnRequest } from './approval-book.ts';
import type { FaultKind, FaultLedger } from './fault-ledger.ts';
import type { OpenDecryption, PartialDecrypt } from './kernels.ts';
import { LiveRequest } from './live-request.ts';
import { Outbox, type OutboxCounts } from './outbox.ts';
import { OwnShares } from './own-shares.ts';
import { PeerBytes, PeerRate } from './peer-limits.ts';
import { decodeFrame, encodeEntry, MAX_SHARES_BYTES, type QuorumEntry, tagOf, type Wanted } from './quorum-frame.ts';
import { DEFAULT_LIMITS, type QuorumLimits } from './quorum-limits.ts';
import type { QuorumLinks, QuorumTimers } from './quorum-links.ts';
import type { RequestName } from './request-name.ts';
import { ShareCollector } from './share-collector.ts';
import { waitWithin } from './wait-within.ts';

/** Settings of a quorum. */
export interface QuorumOptions {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  readonly links: QuorumLinks;
  readonly timers: QuorumTimers;
  readonly open: OpenDecryption;
  readonly ledger: FaultLedger;
  readonly limits?: Partial<QuorumLimits>;
}

/** A decryption for everyone. */
export interface PublicJob {
  readonly name: RequestName;
  /** Borrowed until the promise settles. */
  readonly items: readonly CiphertextItem[];
  readonly partialDecrypt: PartialDecrypt;
}

/** A decryption for one user. */
export interface UserJob<T> {
  readonly name: RequestName;
  /** Makes what the user gets; runs while the quorum is asked. */
  readonly seal: () => Promise<T>;
}

/** What a quorum holds and has done. */
export interface QuorumStats {
  /** Requests that wait for approval or shares. */
  readonly pending: number;
  /** Requests remembered, waiting or ended. */
  readonly remembered: number;
  readonly keptSharesBytes: number;
  /** Entries that came for no request of this engine. */
  readonly unknown: number;
  readonly sent: OutboxCounts;
}

/** One engine's part of the quorum. */
export class Quorum {
  readonly #options: QuorumOptions;
  readonly #limits: QuorumLimits;
  readonly #book: ApprovalBook;
  readonly #outbox: Outbox;
  readonly #peers: readonly number[];
  readonly #needed: number;
  readonly #live = new Map<OwnRequest, LiveRequest>();
  readonly #kept: PeerBytes;
  readonly #answers: PeerRate;
  readonly #ownShares: OwnShares;
  readonly #unlisten: () => void;
  #unknown = 0;
  #closed = false;

  /** @throws {@link KmsError} `CONFIG_INVALID` unless n > 3t and the party is one of them. */
  constructor(options: QuorumOptions) {
    const { me, n, t, links, timers } = options;
    if (!(t >= 0 && n > 3 * t && me >= 1 && me <= n)) {
      throw new KmsError('CONFIG_INVALID', 'needs n > 3t parties and a party among them', { me, n, t });
    }
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#needed = 2 * t + 1;
    this.#peers = Array.from({ length: n }, (_, i) => i + 1).filter((party) => party !== me);
    this.#book = new ApprovalBook({ me, t, limits: this.#limits });
    this.#book.onForget = (request) => this.#forget(request);
    this.#outbox = new Outbox({ links, timers, maxQueuedBytes: this.#limits.queuedBytesPerPeer });
    this.#kept = new PeerBytes(this.#limits.sharesBytesPerPeer);
    this.#answers = new PeerRate(this.#limits.answersBytesPerSecond);
    this.#ownShares = new OwnShares(this.#limits.ownSharesBytes);
    this.#unlisten = links.listen({
      onFrame: (from, frame) => this.#receive(from, frame),
      onConnected: (party) => this.#reconnected(party),
    });
  }

  /** What it holds and has done. */
  stats(): QuorumStats {
    let pending = 0;
    for (const _ of this.#book.pending) pending += 1;
    return {
      pending,
      remembered: this.#book.size,
      keptSharesBytes: this.#ownShares.bytes,
      unknown: this.#unknown,
      sent: this.#outbox.counts(),
    };
  }

  /**
   * Opens ciphertexts together with the quorum. Asking again joins the same request, or gets its result again.
   *
   * @returns Plaintexts, in the order of the items.
   * @throws {@link KmsError} `UNAVAILABLE` at the end of the window, to be asked again; `TASK_FAILED` when the request has
   * failed for good; `CIPHERTEXT_INVALID`; `ABORTED` ("inconsistent epoch"); `CANCELLED` by the signal.
   */
  async publicDecrypt({ name, items, partialDecrypt }: PublicJob, signal: AbortSignal): Promise<Uint8Array[]> {
    const live = this.#join(name);
    if (!live.collector && live.failure === undefined) {
      live.collector = this.#collector(live, items);
      this.#shareOut(live, items, partialDecrypt).catch((error: unknown) => this.#fail(live, error));
    }
    return await this.#wait(live, live.collector?.opened ?? Promise.reject(live.failure), signal);
  }

  /**
   * Answers one user once the quorum has approved it. What `seal` makes is handed out then and not before.
   *
   * @throws {@link KmsError} as {@link publicDecrypt}, and whatever `seal` throws.
   */
  async userDecrypt<T>({ name, seal }: UserJob<T>, signal: AbortSignal): Promise<T> {
    const live = this.#join(name);
    const [sealed] = await Promise.all([seal(), this.#wait(live, live.approved, signal)]);
    return sealed;
  }

  /** Fails what waits with `UNAVAILABLE` and sends nothing more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unlisten();
    this.#outbox.close();
    for (const request of [...this.#book.pending]) {
      const live = this.#live.get(request);
      if (live) this.#fail(live, new KmsError('UNAVAILABLE', 'the engine is stopping'));
    }
  }

  #join(name: RequestName): LiveRequest {
    if (this.#closed) throw new KmsError('UNAVAILABLE', 'the engine is stopping');
    const { request, isNew, others } = this.#book.begin(name, this.#nowMs());
    const known = this.#live.get(request);
    if (!isNew && known) return known;
    const announcement = encodeEntry({ what: 'announce', name: ownName(name) });
    const live = new LiveRequest(request, announcement, this.#limits.askAgainMs);
    this.#live.set(request, live);
    for (const party of others) this.#blame(party, 'another ciphertext', name);
    for (const party of this.#peers) this.#outbox.push(party, announcement);
    this.#arm(live);
    if (this.#book.isApproved(request)) this.#approve(live);
    return live;
  }

  #collector({ own }: LiveRequest, items: readonly CiphertextItem[]): ShareCollector {
    const { me, n, t, open } = this.#options;
    const kinds = items.map(({ fheType, format }) => ({ fheType, format }));
    const onLiar = (party: number): void => this.#blame(party, 'wrong share', own.name);
    return new ShareCollector({ me, n, t, open, onLiar, items: kinds });
  }

  /** Makes this party's shares, and gives them out if the quorum has approved the request meanwhile. */
  async #shareOut(live: LiveRequest, items: readonly CiphertextItem[], partialDecrypt: PartialDecrypt): Promise<void> {
    const own = await partialDecrypt(items);
    const shares = Buffer.concat(own);
    if (shares.byteLength > MAX_SHARES_BYTES) {
      const facts = { sizeBytes: shares.byteLength, mostBytes: MAX_SHARES_BYTES };
      throw new KmsError('TASK_FAILED', 'too many ciphertexts in one request', facts);
    }
    this.#ownShares.keep(live, encodeEntry({ what: 'shares', tag: tagOf(live.own.name.digest), shares }));
    await live.approved;
    for (const party of live.own.announcedBy) this.#release(live, party);
    live.collector?.begin(own);
    await live.collector?.opened;
    this.#end(live);
  }

  #approve(live: LiveRequest): void {
    if (live.isApproved || live.failure !== undefined) return;
    live.approve();
    live.askAgainMs = this.#limits.askAgainMs;
    if (live.own.name.kind === 'user') this.#end(live);
    else this.#arm(live);
  }

  /** The one place where shares leave: once to each peer, and again at a bounded rate. */
  #release(live: LiveRequest, party: number): void {
    const { shares, isApproved, failure } = live;
    if (!shares || !isApproved || failure !== undefined || party === this.#options.me) return;
    this.#answer(live, party, 'shares', shares);
  }

  #answer(live: LiveRequest, party: number, what: Wanted, entry: Uint8Array): void {
    const nowMs = this.#nowMs();
    const { answerPauseMs } = this.#limits;
    const turn = live.turn(what, party, nowMs, answerPauseMs);
    if (turn === 'too soon') return;
    if (turn === 'first' || this.#answers.take(party, entry.byteLength, nowMs)) this.#outbox.push(party, entry);
    else this.#blame(party, 'flood', live.own.name);
  }

  #receive(from: number, frame: Uint8Array): void {
    if (this.#closed || !this.#peers.includes(from)) return;
    try {
      for (const entry of decodeFrame(frame)) this.#hear(from, entry);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      this.#blame(from, 'malformed frame');
      this.#options.links.drop(from, error.message);
    }
  }

  #hear(from: number, entry: QuorumEntry): void {
    switch (entry.what) {
      case 'announce':
        this.#hearAnnouncement(from, entry.name);
        return;
      case 'shares':
        this.#hearShares(from, entry.tag, entry.shares);
        return;
      case 'want':
        this.#hearWant(from, entry.digest, entry.wanted);
        return;
    }
  }

  #hearAnnouncement(from: number, name: RequestName): void {
    const heard = this.#book.hear(from, ownName(name), this.#nowMs());
    if (heard.what === 'another') this.#blame(from, 'another ciphertext', name);
    const live = heard.what === 'counted' ? this.#live.get(heard.request) : undefined;
    if (!live) return;
    if (!live.isApproved && this.#book.isApproved(live.own)) this.#approve(live);
    else this.#release(live, from);
  }

  #hearShares(from: number, tag: Uint8Array, shares: Uint8Array): void {
    const own = this.#book.ownByTag(tag);
    const live = own && this.#live.get(own);
    if (!live?.collector) {
      this.#unknown += 1;
      return;
    }
    if (live.collector.ended) return;
    const bytes = shares.byteLength;
    if (!live.kept.has(from) && !this.#kept.take(from, bytes)) {
      this.#blame(from, 'flood', live.own.name);
      return;
    }
    if (!live.kept.has(from)) live.kept.set(from, bytes);
    if (live.collector.add(from, shares) === 'revised') this.#blame(from, 'revised share', live.own.name);
  }

  #hearWant(from: number, digest: Uint8Array, wanted: Wanted): void {
    const own = this.#book.own(digest);
    const live = own && this.#live.get(own);
    if (!live || live.failure !== undefined) {
      this.#unknown += 1;
      return;
    }
    if (wanted === 'shares') this.#release(live, from);
    else this.#answer(live, from, wanted, live.announcement);
  }

  #reconnected(party: number): void {
    if (this.#closed) return;
    for (const request of this.#book.pending) {
      const live = this.#live.get(request);
      if (live) this.#outbox.push(party, live.announcement);
    }
  }

  /** Sets the next look at a request that waits: to ask again, or to give it up. */
  #arm(live: LiveRequest): void {
    live.cancelTimer?.();
    if (live.own.endedMs !== undefined) return;
    const failAtMs = live.own.sinceMs + this.#limits.failAfterMs;
    const nextMs = Math.min(this.#nowMs() + live.askAgainMs, failAtMs);
    live.cancelTimer = this.#options.timers.at(nextMs, () => {
      if (this.#nowMs() >= failAtMs) {
        this.#fail(live, new KmsError('TASK_FAILED', this.#progress(live)));
        return;
      }
      this.#askAgain(live);
      live.askAgainMs = Math.min(live.askAgainMs * 2, this.#limits.askAgainMostMs);
      this.#arm(live);
    });
  }

  #askAgain({ own, isApproved, announcement, collector }: LiveRequest): void {
    const { digest } = own.name;
    const heard = collector?.heard ?? new Set();
    for (const party of this.#peers) {
      if (isApproved && heard.has(party)) continue;
      if (!isApproved && own.announcedBy.has(party)) continue;
      const wanted = isApproved && own.announcedBy.has(party) ? 'shares' : 'announcement';
      this.#outbox.push(party, announcement);
      this.#outbox.push(party, encodeEntry({ what: 'want', digest, wanted }));
    }
  }

  /** Waits for a request no longer than the window, whatever becomes of it afterwards. */
  async #wait<T>(live: LiveRequest, result: Promise<T>, signal: AbortSignal): Promise<T> {
    const late = (): KmsError => new KmsError('UNAVAILABLE', `not done yet: ${this.#progress(live)}`);
    return await waitWithin(result, { timers: this.#options.timers, windowMs: this.#limits.windowMs, signal, late });
  }

  #progress({ own, isApproved, collector }: LiveRequest): string {
    if (!isApproved) return `asked at ${own.announcedBy.size} of ${this.#needed} parties`;
    return `shares of ${collector?.heard.size ?? 0} of ${this.#needed} parties`;
  }

  #fail(live: LiveRequest, error: unknown): void {
    if (live.failure !== undefined || live.own.endedMs !== undefined) return;
    live.fail(error);
    this.#end(live);
  }

  #end(live: LiveRequest): void {
    live.cancelTimer?.();
    for (const [party, bytes] of live.kept) this.#kept.give(party, bytes);
    live.kept.clear();
    this.#book.end(live.own, this.#nowMs());
  }

  #forget(request: OwnRequest): void {
    const live = this.#live.get(request);
    if (live) this.#ownShares.drop(live);
    this.#live.delete(request);
  }

  #blame(party: number, kind: FaultKind, name?: RequestName): void {
    const requestId = name && { requestId: Buffer.from(name.id).toString('hex') };
    this.#options.ledger.note({ party, kind, ...requestId });
  }

  #nowMs(): number {
    return this.#options.timers.monotonicMs();
  }
}

/** A name in memory of its own: what came in a frame must not keep the frame. */
function ownName({ kind, id, digest }: RequestName): RequestName {
  return { kind, id: Uint8Array.from(id), digest: Uint8Array.from(digest) };
}
