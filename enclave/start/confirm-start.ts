/**
 * The confirmation of starts among the engines of a quorum: each says which state of its vault it goes on from, remembers
 * what the others say, and serves once 2t of them have acknowledged its own start as newer than all they remember.
 *
 * Safe with t parties that lie or put their vault back, themselves included: any two groups of 2t out of 3t have t parties
 * in common. Nothing here is secret. Spec: docs/formats/start-record.md.
 */
import { readStart, type SignedStart } from '../../attestation/start/start-record.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { PeerChannel } from '../peers/peer-network.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import { PeerRate } from '../threshold/peer-limits.ts';
import type { QuorumTimers } from '../threshold/quorum-links.ts';
import { DurableMemory } from './durable-memory.ts';
import type { OwnStart } from './own-start.ts';
import type { PeerMemory } from './peer-memory.ts';
import { PeerStarts, type ShownProcess } from './peer-starts.ts';
import { rolledBackFault } from './rolled-back.ts';
import { encodeStartMessage, parseStartMessage, type Refusal, type StartMessage } from './start-messages.ts';
import { StartState } from './start-state.ts';

/** What it needs. */
export interface ConfirmStartOptions {
  readonly me: number;
  /** The other parties of the governed record. */
  readonly others: () => readonly number[];
  /** How many of the 3t + 1 may be corrupt. */
  readonly t: () => number;
  readonly own: OwnStart;
  readonly memory: PeerMemory;
  readonly head: Pick<ManifestHead, 'remember' | 'advance' | 'confine' | 'release' | 'watch' | 'source' | 'point'>;
  readonly channel: Pick<PeerChannel, 'send' | 'drop' | 'listen'>;
  /** Processes of a party that are connected now. */
  readonly shown: (party: number) => readonly ShownProcess[];
  /** From now on connections of lower incarnations are dropped. */
  readonly noteIncarnation: (party: number, incarnation: number) => void;
  /** Told once when objects may be written again: the start is confirmed, or governance has restarted the quorum. */
  readonly onReleased: () => void;
  readonly timers: QuorumTimers;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** How the confirmation stands, for operators. */
export interface StartReport {
  readonly phase: StartState['phase'];
  readonly reason: string;
  readonly acknowledged: readonly number[];
  readonly needed: number;
  readonly refused: readonly { readonly party: number; readonly why: Refusal }[];
  /** Parties that came out of backups and are not confirmed, this one included. */
  readonly restored: readonly number[];
}

const REPEAT_MS = 1_000;
/** Messages of one peer that are looked at in a second: each may cost a signature. */
const MESSAGES_PER_SECOND = 64;

/** See the file comment. */
export class ConfirmStart {
  readonly state: StartState;
  readonly #options: ConfirmStartOptions;
  readonly #durable: DurableMemory;
  readonly #peers: PeerStarts;
  readonly #rate = new PeerRate(MESSAGES_PER_SECOND);
  /** Who has acknowledged this start as somebody who remembers. */
  readonly #acknowledged = new Set<number>();
  /** What each party has acknowledged of the vault; not which certificate said so, for connections outlive those. */
  readonly #answered = new Map<number, string | undefined>();
  readonly #refused = new Map<number, Refusal>();
  readonly #forget: (() => void)[] = [];
  #cancel: () => void = () => undefined;
  #closed = false;

  constructor(options: ConfirmStartOptions) {
    const { head, memory, log, timers } = options;
    this.#options = options;
    this.state = new StartState(() => this.#needed());
    this.#durable = new DurableMemory({ memory, head, timers, log });
    head.confine(new KmsError('UNAVAILABLE', 'nothing is written before this start is confirmed: try again later'));
    this.#peers = new PeerStarts({
      ...options,
      durable: this.#durable,
      isBlocked: () => this.#isBlocked,
      isMemory: () => (head.source === undefined || this.#isRestarted) && !this.state.isOver,
      onNews: () => this.#count(),
    });
  }

  /** Begins to speak and to listen. */
  begin(): void {
    const { channel, head, own } = this.#options;
    const unlisten = channel.listen({
      onFrame: (from, frame) => this.#hear(from, frame),
      onConnected: (party) => {
        this.#answered.delete(party);
        this.#say([party]);
      },
    });
    const unwatch = head.watch((point) => {
      own.moved(point);
      this.#say();
    });
    this.#forget.push(unlisten, unwatch);
    this.#repeat();
  }

  /** How it stands. */
  report(): StartReport {
    return {
      phase: this.state.phase,
      reason: this.state.reason,
      acknowledged: [...this.#acknowledged].sort((a, b) => a - b),
      needed: this.#needed(),
      refused: [...this.#refused].map(([party, why]) => ({ party, why })).sort((a, b) => a.party - b.party),
      restored: this.#restored(),
    };
  }

  /** Governance has restarted the quorum, and the memory holds that: durable once this returns. */
  async restarted(): Promise<void> {
    await this.#open();
  }

  /** Says and hears nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    for (const forget of this.#forget) forget();
    await this.#durable.close();
  }

  #needed(): number {
    return 2 * this.#options.t();
  }

  #restored(): readonly number[] {
    const { me, memory, head } = this.#options;
    const others = memory.restored().filter((party) => party !== me);
    return [...others, ...(head.source === undefined ? [] : [me])].sort((a, b) => a - b);
  }

  get #isBlocked(): boolean {
    return !this.#isRestarted && this.#restored().length > this.#options.t();
  }

  get #isRestarted(): boolean {
    return this.#options.memory.reshareDue !== undefined;
  }

  #repeat(): void {
    const { timers } = this.#options;
    this.#cancel = timers.at(timers.monotonicMs() + REPEAT_MS, () => {
      this.#count();
      this.#repeat();
    });
    this.#say();
  }

  /** Tells those who have not answered the newest form of the own record. */
  #say(parties = this.#options.others()): void {
    if (this.#closed || this.state.isOver) return;
    const { own, log } = this.#options;
    own.form().then(
      ({ digest, bytes }) => {
        const state = own.stateOf(digest);
        for (const party of parties) {
          if (this.#answered.get(party) !== state) this.#send(party, { type: 'start', record: bytes });
        }
      },
      (err: unknown) => {
        if (!isKmsError(err)) throw err;
        log.warn({ event: 'start.not-said', err });
      },
    );
  }

  /** What gets lost is said again. */
  #send(party: number, message: StartMessage): void {
    if (this.#closed) return;
    this.#options.channel.send(party, encodeStartMessage(message)).catch((error: unknown) => {
      if (!isKmsError(error)) throw error;
    });
  }

  #hear(from: number, frame: Uint8Array): void {
    const { others, timers, channel, log } = this.#options;
    if (this.#closed || !others().includes(from) || !this.#rate.take(from, 1, timers.monotonicMs())) return;
    try {
      const message = parseStartMessage(frame);
      if (message.type === 'start') {
        this.#judge(from, readStart(message.record)).catch((err: unknown) => {
          if (!isKmsError(err)) throw err;
          log.error({ event: 'start.not-acknowledged', party: from, err });
        });
      } else if (message.type === 'acknowledged') this.#takeAcknowledgement(from, message);
      else this.#takeRefusal(from, message);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      channel.drop(from, `the engine of party ${from} sent what is no message about a start`);
    }
  }

  async #judge(from: number, record: SignedStart): Promise<void> {
    const { memory, channel } = this.#options;
    if (record.start.party === from && memory.isGenuine(record)) {
      this.#send(from, await this.#peers.answer(record));
      return;
    }
    channel.drop(from, `the engine of party ${from} sent a start record that is not its own`);
  }

  #takeAcknowledgement(
    from: number,
    { digest, isMemory, records }: Extract<StartMessage, { type: 'acknowledged' }>,
  ): void {
    const { own, memory, me } = this.#options;
    const state = own.stateOf(digest);
    if (state === undefined || this.state.isOver) return;
    for (const record of records.map((bytes) => readStart(bytes))) {
      if (!memory.isGenuine(record)) continue;
      if (record.start.party === me) this.#compareOwn(from, record);
      else this.#peers.keep(record);
    }
    if (this.state.isOver) return;
    if (isMemory) {
      this.#answered.set(from, state);
      this.#refused.delete(from);
      this.#acknowledged.add(from);
    }
    this.#count();
  }

  #takeRefusal(from: number, { digest, why, seen }: Extract<StartMessage, { type: 'refused' }>): void {
    const { own, memory, me, log } = this.#options;
    if (own.stateOf(digest) === undefined || this.state.isOver) return;
    if (this.#refused.get(from) !== why) log.warn({ event: 'start.refused-by', party: from, why });
    this.#refused.set(from, why);
    if (seen === undefined) return;
    const record = readStart(seen);
    if (record.start.party === me && memory.isGenuine(record)) this.#compareOwn(from, record);
  }

  /** A record of this very party, which nobody else can have signed: one that is not older than this start decides. */
  #compareOwn(from: number, { start: seen }: SignedStart): void {
    const { own, log } = this.#options;
    const now = own.current?.start;
    if (now === undefined) return;
    const why = rolledBackFault(from, now, seen);
    if (why === undefined) return;
    this.state.fail(why);
    log.error({ event: 'start.rolled-back', err: why });
  }

  #count(): void {
    const { log } = this.#options;
    if (this.#closed || this.state.phase === 'confirmed' || this.state.phase === 'reshare-due') return;
    const was = this.state.phase;
    this.state.counted(this.#acknowledged.size, this.#isBlocked);
    if (this.state.phase === 'quorum-restart' && was !== 'quorum-restart') {
      log.error({ event: 'start.quorum-restart-needed', restored: this.#restored().join(', ') });
      // What governance will be shown of this start, the vault knows after another start as well.
      this.#keepNow();
    }
    if (this.#isBlocked || this.#acknowledged.size < this.#needed() || this.state.isOver) return;
    this.#open().catch((err: unknown) => {
      if (!isKmsError(err)) throw err;
      // It is tried again each second.
      log.error({ event: 'start.not-confirmed', err });
    });
  }

  #keepNow(): void {
    this.#durable.flush().catch((err: unknown) => {
      if (!isKmsError(err)) throw err;
      this.#options.log.error({ event: 'start.memory-not-kept', err });
    });
  }

  async #open(): Promise<void> {
    const { head, memory, own, onReleased, log } = this.#options;
    memory.confirmed();
    await this.#durable.flush();
    const isReshareDue = this.#isRestarted;
    // By itself a party that was restored is memory from here on. After a restart it says on that it was: who has not been
    // told of the restart must not take it for one that was confirmed, and serve without the reshare.
    if (head.source !== undefined && !isReshareDue) await head.advance(new Map(), { source: null });
    // Not before it is durable: a start after a crash must not be held against it.
    if (head.point !== undefined) own.confirmed(head.point);
    if (this.#closed || this.state.isOver || (this.state.isOpen && !isReshareDue)) return;
    head.release();
    onReleased();
    this.state.open(isReshareDue);
    log.info({ event: 'start.confirmed', phase: this.state.phase, by: [...this.#acknowledged].join(', ') });
    this.#say();
  }
}
