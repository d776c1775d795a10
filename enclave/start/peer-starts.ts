/**
 * What this engine answers to the starts of others: acknowledged once it is durable that it was, or refused with what is
 * remembered. Nothing here is secret. Spec: docs/formats/start-record.md.
 */
import type { SignedStart } from '../../attestation/start/start-record.ts';
import { equalBytes, toHex } from '../../common/bytes.ts';
import type { Logger } from '../../common/log.ts';
import type { DurableMemory } from './durable-memory.ts';
import type { PeerMemory } from './peer-memory.ts';
import type { Refusal, StartMessage } from './start-messages.ts';

/** A connection that another engine's process has proven itself on. */
export interface ShownProcess {
  readonly leaf: Uint8Array;
  readonly incarnation: number;
}

/** What it needs. */
export interface PeerStartsOptions {
  readonly memory: PeerMemory;
  readonly durable: DurableMemory;
  /** Processes of a party that are connected now. */
  readonly shown: (party: number) => readonly ShownProcess[];
  /** From now on connections of lower incarnations are dropped. */
  readonly noteIncarnation: (party: number, incarnation: number) => void;
  /** Whether more parties came out of backups than may forget. */
  readonly isBlocked: () => boolean;
  /** Whether this engine is memory: its own vault neither came out of a backup nor was put back. */
  readonly isMemory: () => boolean;
  /** Something is remembered that was not before. */
  readonly onNews: () => void;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

/** See the file comment. */
export class PeerStarts {
  readonly #options: PeerStartsOptions;
  /** Starts that are durable in the own manifest, by nonce. */
  readonly #kept = new Set<string>();

  constructor(options: PeerStartsOptions) {
    this.#options = options;
    for (const { start } of options.memory.all()) {
      this.#kept.add(toHex(start.nonce));
      options.noteIncarnation(start.party, start.incarnation);
    }
  }

  /**
   * Judges a start that its own party has sent, and remembers it.
   *
   * @param record - Genuine: of the party that sent it.
   * @throws KmsError what the vault throws if it cannot be made durable: then nothing is answered.
   */
  async answer(record: SignedStart): Promise<Exclude<StartMessage, { type: 'start' }>> {
    const { memory, durable, isBlocked, isMemory, log } = this.#options;
    const { start, digest } = record;
    const { party, incarnation } = start;
    const refuse = (why: Refusal, seen?: SignedStart) => ({ type: 'refused', digest, why, seen: seen?.bytes }) as const;
    const verdict = memory.judge(record);
    // Of a start that is known the certificate may be newer than the connection.
    if (verdict === 'newer' && !this.#isShown(record)) return refuse('other-leaf');
    if (verdict !== 'newer' && verdict !== 'moved' && verdict !== 'same') {
      log.warn({ event: 'start.refused', party, why: verdict, incarnation });
      return refuse(verdict, memory.of(party));
    }
    this.keep(record);
    if (isBlocked()) return refuse('too-many-restored');
    const nonce = toHex(start.nonce);
    if (!this.#kept.has(nonce)) {
      await durable.flush();
      this.#kept.add(nonce);
      log.info({ event: 'start.acknowledged', party, incarnation });
    }
    const records = start.source ? memory.all().map(({ bytes }) => bytes) : [];
    return { type: 'acknowledged', digest, isMemory: isMemory(), records };
  }

  /** Remembers a genuine record where it is newer than what is known; durable a little later. */
  keep(record: SignedStart): void {
    const { memory, durable, noteIncarnation, onNews } = this.#options;
    if (!memory.keep(record)) return;
    noteIncarnation(record.start.party, record.start.incarnation);
    durable.flushLater();
    onNews();
  }

  /** The record is of a process that is connected, not of one before it. */
  #isShown({ start }: SignedStart): boolean {
    return this.#options.shown(start.party).some(({ leaf, incarnation }) => {
      return incarnation === start.incarnation && equalBytes(leaf, start.leaf);
    });
  }
}
