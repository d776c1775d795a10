/**
 * Messages of one session that have come and not been read: bounded for each peer, so a flooder evicts only himself.
 *
 * The first message of a party counts in each round. What is too early, too late or too much is dropped and counted.
 * Bodies may be shares: nothing here reads one. Spec: threshold protocols, section 2.1.
 */
import type { RoundMessage } from './session.ts';

/** How far ahead of the round being read a message may be. A broadcast may finish early by 3t + 3 rounds. */
const ROUNDS_AHEAD = 64;

/** Bounds of an inbox. */
export interface InboxLimits {
  /** What one peer may have unread. */
  readonly bytesPerPeer: number;
}

/** What became of a message. */
export type Delivery = 'kept' | 'late' | 'repeated' | 'too early' | 'too much';

/** The unread messages of one session. */
export class Inbox {
  readonly #limits: InboxLimits;
  readonly #rounds = new Map<number, RoundMessage[]>();
  /** Rounds in which a party has spoken. */
  readonly #seen = new Map<number, Set<number>>();
  readonly #bytes = new Map<number, number>();
  #first = 1;
  #dropped = 0;

  constructor(limits: InboxLimits) {
    this.#limits = limits;
  }

  /** How many messages were dropped. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Unread bytes of a party. */
  bytesOf(party: number): number {
    return this.#bytes.get(party) ?? 0;
  }

  /** Takes a message, or says why not. */
  deliver(from: number, round: number, body: Uint8Array): Delivery {
    const delivery = this.#judge(from, round, body.byteLength);
    if (delivery !== 'kept') {
      this.#dropped += 1;
      return delivery;
    }
    const seen = this.#seen.get(from) ?? new Set();
    this.#seen.set(from, seen.add(round));
    this.#bytes.set(from, this.bytesOf(from) + body.byteLength);
    const waiting = this.#rounds.get(round) ?? [];
    waiting.push({ from, body });
    this.#rounds.set(round, waiting);
    return 'kept';
  }

  /** Takes out the oldest unread message of a round. */
  take(round: number): RoundMessage | undefined {
    const message = this.#rounds.get(round)?.shift();
    if (message) this.#bytes.set(message.from, this.bytesOf(message.from) - message.body.byteLength);
    return message;
  }

  /** Whether a party has spoken in a round, read or not. */
  hasSpoken(party: number, round: number): boolean {
    return this.#seen.get(party)?.has(round) ?? false;
  }

  /** Drops what belongs to earlier rounds, now and later. */
  begin(round: number): void {
    this.#first = Math.max(this.#first, round);
    for (const [earlier, messages] of this.#rounds) {
      if (earlier >= round) continue;
      for (const { from, body } of messages) {
        this.#bytes.set(from, this.bytesOf(from) - body.byteLength);
        body.fill(0);
      }
      this.#rounds.delete(earlier);
    }
    for (const rounds of this.#seen.values()) for (const seen of rounds) if (seen < round) rounds.delete(seen);
  }

  /** Drops and wipes everything. */
  clear(): void {
    this.begin(Number.MAX_SAFE_INTEGER);
  }

  #judge(from: number, round: number, sizeBytes: number): Delivery {
    if (round < this.#first) return 'late';
    if (round > this.#first + ROUNDS_AHEAD) return 'too early';
    if (this.hasSpoken(from, round)) return 'repeated';
    return this.bytesOf(from) + sizeBytes > this.#limits.bytesPerPeer ? 'too much' : 'kept';
  }
}
