/**
 * Decryption by a quorum of engines, as one of them sees it.
 *
 * Nothing that depends on a key share leaves this engine, to peers or to a user, before 2t + 1 engines have announced the
 * same request. Then masked shares go once to each peer that announced it, and a public request is opened as soon as
 * what came decodes: up to t parties that are silent, late or lie change nothing. All state is bounded for each peer,
 * all waits are on the monotonic clock, and what got lost is asked for again, since shares never change.
 * Spec: design section 3, rules 4 to 6; threshold-protocols sections 3.2 to 3.5.
 */
import { KmsError } from '../../common/errors.ts';
import { ApprovalBook, type OwnRequest } from './approval-book.ts';
import type { OpenDecryption } from './kernels.ts';
import { LateChecks } from './late-checks.ts';
import { LiveRequest } from './live-request.ts';
import { Masking } from './masking.ts';
import { Openings } from './openings.ts';
import { Outbox } from './outbox.ts';
import { OwnShares } from './own-shares.ts';
import { isForGood, stopping } from './quorum-failures.ts';
import { QuorumInbox } from './quorum-inbox.ts';
import type { EpochCheck, PublicJob, QuorumOptions, QuorumStats, UserJob } from './quorum-jobs.ts';
import { DEFAULT_LIMITS, type QuorumLimits } from './quorum-limits.ts';
import { Reminders } from './reminders.ts';
import type { RequestName } from './request-name.ts';
import { ShareRelease } from './share-release.ts';
import { waitWithin } from './wait-within.ts';

/** One engine's part of the quorum. */
export class Quorum {
  readonly #options: QuorumOptions;
  readonly #limits: QuorumLimits;
  readonly #book: ApprovalBook;
  readonly #outbox: Outbox;
  readonly #peers: readonly number[];
  readonly #live = new Map<OwnRequest, LiveRequest>();
  readonly #inbox: QuorumInbox;
  readonly #release: ShareRelease;
  readonly #openings: Openings;
  readonly #reminders: Reminders;
  readonly #ownShares: OwnShares;
  readonly #late: LateChecks;
  readonly #masking: Masking;
  readonly #unlisten: () => void;
  #publicDecryptions = 0;
  #userDecryptions = 0;
  #closed = false;

  /** @throws {@link KmsError} `CONFIG_INVALID` unless n > 3t and the party is one of them. */
  constructor(options: QuorumOptions) {
    const { me, n, t, links, timers, ledger, onManyMasked } = options;
    if (!(t >= 0 && n > 3 * t && me >= 1 && me <= n)) {
      throw new KmsError('CONFIG_INVALID', 'needs n > 3t parties and a party among them', { me, n, t });
    }
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const nowMs = (): number => timers.monotonicMs();
    const live = (own: OwnRequest): LiveRequest | undefined => this.#live.get(own);
    this.#options = options;
    this.#limits = limits;
    this.#peers = Array.from({ length: n }, (_, i) => i + 1).filter((party) => party !== me);
    this.#book = new ApprovalBook({ me, t, limits });
    this.#book.onForget = (request) => this.#forget(request);
    this.#outbox = new Outbox({ links, timers, maxQueuedBytes: limits.queuedBytesPerPeer });
    this.#ownShares = new OwnShares(limits.ownSharesBytes);
    this.#late = new LateChecks({ perSecond: limits.lateChecksPerSecond, mostBytes: limits.lateSharesBytes, nowMs });
    this.#masking = new Masking(onManyMasked);
    const [outbox, peers, book] = [this.#outbox, this.#peers, this.#book];
    const inbox = { peers, book, links, ledger, limits, nowMs, live };
    this.#release = new ShareRelease({
      me,
      outbox,
      limits,
      nowMs,
      onFlood: (party, of) => this.#inbox.flood(party, of),
    });
    this.#inbox = new QuorumInbox({ ...inbox, release: this.#release, onApproved: (of) => this.#approve(of) });
    this.#openings = new Openings({
      me,
      n,
      t,
      ownShares: this.#ownShares,
      late: this.#late,
      release: this.#release,
      onLiar: (party, of) => this.#inbox.wrongShare(party, of),
      onOpened: (of) => this.#end(of),
      onFailed: (of, error) => this.#fail(of, error),
      forget: (of) => this.#book.forget(of.own),
    });
    const onExpired = (of: LiveRequest): void => this.#fail(of, new KmsError('TASK_FAILED', of.progress(2 * t + 1)));
    this.#reminders = new Reminders({ peers, outbox, timers, limits, onExpired });
    this.#unlisten = links.listen({
      onFrame: (from, frame) => this.#inbox.receive(from, frame),
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
      unknown: this.#inbox.unknown,
      sent: this.#outbox.counts(),
      publicDecryptions: this.#publicDecryptions,
      userDecryptions: this.#userDecryptions,
      maskedBlocks: this.#masking.blocks,
    };
  }

  /**
   * Opens ciphertexts together with the quorum. Asking again joins the same request, or gets its result again.
   *
   * @returns Plaintexts, in the order of the items.
   * @throws {@link KmsError} `UNAVAILABLE` with the fact `waiting: 'quorum'` at the end of the window, to be asked again;
   * `TASK_FAILED` when the request has failed for good; `CIPHERTEXT_INVALID`; `ABORTED` ("inconsistent epoch");
   * `CANCELLED` by the signal.
   */
  async publicDecrypt({ name, items, masked, partialDecrypt }: PublicJob, signal: AbortSignal): Promise<Uint8Array[]> {
    const live = this.#join(name, masked.epochId);
    if (live.isFresh) {
      const make = (): Promise<Uint8Array[]> => this.#masking.run(masked, items, partialDecrypt);
      void this.#openings.begin(live, { items, open: this.#options.open, make }).then((isOpen) => {
        if (isOpen) this.#publicDecryptions += 1;
      });
    }
    return await this.#wait(live, live.result, signal);
  }

  /**
   * Answers one user once the quorum has approved it. What `seal` makes is handed out then and not before.
   *
   * @throws {@link KmsError} as {@link publicDecrypt}, and whatever `seal` throws.
   */
  async userDecrypt<T>({ name, items, masked, seal }: UserJob<T>, signal: AbortSignal): Promise<T[]> {
    const live = this.#join(name, masked.epochId);
    const making = this.#masking.run(masked, items, seal).catch((error: unknown) => {
      // It will never be answered, so it need not wait for others. Whoever asks again is told the same.
      if (isForGood(error)) this.#fail(live, error);
      throw error;
    });
    const [sealed] = await Promise.all([making, this.#wait(live, live.approved, signal)]);
    if (live.failure !== undefined) throw live.failure;
    this.#userDecryptions += 1;
    return sealed;
  }

  /**
   * Opens a key set's encryptions of zero together with the quorum, once 2t + 1 parties take part: whenever that is. A
   * party that comes back later opens them again, and is given what it needs for it.
   *
   * @throws {@link KmsError} `ABORTED` ("inconsistent epoch") if it is not zero that opens, `TASK_FAILED` if nothing
   * opens; `UNAVAILABLE` when the engine stops; `CANCELLED` by the signal.
   */
  async checkEpoch({ name, epochId, zeroShares, openZeros }: EpochCheck, signal: AbortSignal): Promise<void> {
    const live = this.#join(name, epochId);
    if (live.isFresh) {
      const open: OpenDecryption = async ({ n, t, contributions }) => {
        const liars = openZeros({ n, t, contributions });
        return liars && { plaintext: new Uint8Array(), liars };
      };
      const make = async (): Promise<Uint8Array[]> => [await zeroShares()];
      void this.#openings.begin(live, { items: [{ fheType: 0, format: 0 }], open, make });
    }
    await this.#wait(live, live.result, signal, Number.POSITIVE_INFINITY);
  }

  /** An epoch is destroyed: what waits under it fails with `NOT_FOUND`, and no share of it is kept or leaves any more. */
  forgetEpoch(epochId: string): void {
    const error = new KmsError('NOT_FOUND', 'the epoch was destroyed', { epochId });
    for (const live of [...this.#live.values()]) {
      if (live.epochId !== epochId) continue;
      this.#fail(live, error);
      live.failure ??= error;
      this.#book.forget(live.own);
    }
  }

  /** Fails what waits with `UNAVAILABLE` and sends nothing more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unlisten();
    this.#inbox.close();
    this.#outbox.close();
    for (const request of [...this.#book.pending]) {
      const live = this.#live.get(request);
      if (live) this.#fail(live, stopping());
    }
  }

  #join(name: RequestName, epochId: string): LiveRequest {
    if (this.#closed) throw stopping();
    if (this.#book.isFull && !this.#book.own(name.digest)) this.#makeRoom();
    const { request, isNew, others } = this.#book.begin(name, this.#options.timers.monotonicMs());
    const known = this.#live.get(request);
    if (!isNew && known) return known;
    const live = new LiveRequest(request, epochId, this.#reminders.firstPauseMs);
    const { announcement } = live;
    this.#live.set(request, live);
    for (const party of others) this.#inbox.another(party, name);
    for (const party of this.#peers) this.#outbox.push(party, announcement);
    this.#reminders.arm(live);
    if (this.#book.isApproved(request)) this.#approve(live);
    return live;
  }

  /** Forgets the oldest request that lacks its quorum and that nobody waits for: asking again begins it anew. */
  #makeRoom(): void {
    for (const request of this.#book.pending) {
      const live = this.#live.get(request);
      if (!live || live.waiting > 0 || live.isApproved) continue;
      this.#fail(live, new KmsError('UNAVAILABLE', 'too many requests wait', { waiting: 'quorum' }));
      this.#book.forget(request);
      return;
    }
  }

  #approve(live: LiveRequest): void {
    if (live.isApproved || live.failure !== undefined) return;
    live.approve();
    live.askAgainMs = this.#reminders.firstPauseMs;
    if (live.own.kind === 'user') this.#end(live);
    else this.#reminders.arm(live);
  }

  #reconnected(party: number): void {
    if (this.#closed) return;
    for (const request of this.#book.pending) {
      const live = this.#live.get(request);
      if (live) this.#outbox.push(party, live.announcement);
    }
  }

  /** Waits for a request no longer than the window, whatever becomes of it afterwards. */
  async #wait<T>(
    live: LiveRequest,
    result: Promise<T>,
    signal: AbortSignal,
    windowMs: number = this.#limits.windowMs,
  ): Promise<T> {
    const needed = 2 * this.#options.t + 1;
    const late = (): KmsError =>
      new KmsError('UNAVAILABLE', `not done yet: ${live.progress(needed)}`, { waiting: 'quorum' });
    live.waiting += 1;
    try {
      return await waitWithin(result, { timers: this.#options.timers, windowMs, signal, late });
    } finally {
      live.waiting -= 1;
    }
  }

  #fail(live: LiveRequest, error: unknown): void {
    if (live.failure !== undefined || live.own.endedMs !== undefined) return;
    live.fail(error);
    this.#end(live);
  }

  #end(live: LiveRequest): void {
    this.#inbox.ended(live);
    this.#reminders.ended(live);
    live.end();
    this.#book.end(live.own, this.#options.timers.monotonicMs());
  }

  #forget(request: OwnRequest): void {
    const live = this.#live.get(request);
    if (live) {
      this.#ownShares.drop(live);
      this.#late.drop(live);
    }
    this.#live.delete(request);
  }
}
