/**
 * Barriers: all parties of a meeting begin the same thing at about the same time, however far apart they were asked.
 *
 * Each party says to each other one that it is ready, with a fresh nonce, and is answered with the nonce that was seen.
 * A party goes on when every other one has shown its nonce: then all are there, and each has what the others need to go
 * on within one round trip. A lie about a meeting can delay or end it, and no more. Nothing here is secret.
 */
import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type { QuorumTimers } from '../threshold/quorum-links.ts';
import { MEETING_FIELD_BYTES, MEETING_KIND, type ReadyMessage } from './control-messages.ts';
import { EarlyComers } from './early-comers.ts';
import type { Meeting } from './peer-network.ts';

/** Settings of {@link Meetings}. */
export interface MeetingsOptions {
  readonly me: number;
  readonly random: RandomSource;
  readonly timers: QuorumTimers;
  /** Sends without a promise that it arrives. */
  readonly send: (to: number, message: ReadyMessage) => void;
}

/** Of one other party of a meeting. */
interface Other {
  nonce: Uint8Array | undefined;
  /** It has shown that it saw our nonce. */
  knows: boolean;
}

interface Open {
  readonly kind: string;
  readonly id: Uint8Array;
  readonly digest: Uint8Array;
  readonly nonce: Uint8Array;
  readonly others: ReadonlyMap<number, Other>;
  readonly over: PromiseWithResolvers<Uint8Array>;
}

/** A meeting that was held: whoever lacks our answer gets it again. */
interface Held {
  readonly open: Open;
  readonly endedMs: number;
}

const DEFAULT_WITHIN_MS = 5 * 60_000;
const LONGEST_WITHIN_MS = 24 * 3_600_000;
const REPEAT_MS = 1_000;
const KEEP_HELD_MS = 5 * 60_000;
const MOST_HELD = 1_024;

/** See the file comment. */
export class Meetings {
  readonly #options: MeetingsOptions;
  readonly #open = new Map<string, Open>();
  readonly #held = new Map<string, Held>();
  readonly #early: EarlyComers;

  constructor(options: MeetingsOptions) {
    this.#options = options;
    this.#early = new EarlyComers(() => options.timers.monotonicMs());
  }

  /** See `PeerNetwork.meet`. */
  async meet(meeting: Meeting, signal: AbortSignal): Promise<Uint8Array> {
    const withinMs = check(meeting);
    const { me, random, timers } = this.#options;
    const key = keyOf(meeting);
    const cancelled = (): KmsError => new KmsError('CANCELLED', 'no longer waiting for the other parties');
    if (signal.aborted) throw cancelled();
    if (this.#open.has(key)) throw new KmsError('ALREADY_EXISTS', 'this meeting is under way');
    const { kind, id, digest } = meeting;
    const parties = [...new Set(meeting.parties)].filter((party) => party !== me);
    const others = new Map(parties.map((party): [number, Other] => [party, { nonce: undefined, knows: false }]));
    const nonce = random(MEETING_FIELD_BYTES);
    const open: Open = { kind, id, digest, nonce, others, over: Promise.withResolvers() };
    open.over.promise.catch(() => undefined); // it may fail before it is waited for
    this.#open.set(key, open);
    // Answers to the one before would say that we are in this one.
    this.#held.delete(key);
    const endMs = timers.monotonicMs() + withinMs;
    let cancel = (): void => undefined;
    const again = (): void => {
      if (timers.monotonicMs() >= endMs) {
        open.over.reject(late(open));
        return;
      }
      for (const party of parties) this.#ask(open, party);
      cancel = timers.at(Math.min(timers.monotonicMs() + REPEAT_MS, endMs), again);
    };
    const onAbort = (): void => open.over.reject(cancelled());
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (const party of parties) this.#takeEarly(open, key, party);
      again();
      this.#settle(open);
      const agreed = await open.over.promise;
      this.#hold(key, open);
      return agreed;
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
      this.#open.delete(key);
    }
  }

  /** A message of a party came. */
  take(from: number, message: ReadyMessage): void {
    const key = keyOf(message);
    const open = this.#open.get(key);
    const other = open?.others.get(from);
    if (open && other) {
      this.#note(open, from, other, message);
      if (message.asks) this.#say(open, from, false);
      this.#settle(open);
      return;
    }
    const held = this.#held.get(key);
    const known = held?.open.others.get(from)?.nonce;
    if (held && known && equalBytes(known, message.nonce) && this.#isFresh(held)) {
      if (message.asks) this.#say(held.open, from, false);
      return;
    }
    // It is here before us, or wants to hold it once more.
    if (message.asks) this.#early.put(from, key, { digest: message.digest, nonce: message.nonce });
  }

  /** A new connection to a party stands: what was said before may be lost, or said by a process that is no more. */
  connected(party: number): void {
    for (const open of this.#open.values()) {
      const other = open.others.get(party);
      if (other) other.knows = false;
      this.#ask(open, party);
    }
  }

  /** Ends all meetings. */
  close(): void {
    for (const { over } of this.#open.values()) over.reject(new KmsError('CANCELLED', 'the engine stops'));
  }

  #takeEarly(open: Open, key: string, party: number): void {
    const early = this.#early.take(party, key);
    const other = open.others.get(party);
    if (early && other) this.#note(open, party, other, { ...early, seen: undefined });
  }

  #note(
    open: Open,
    from: number,
    other: Other,
    { digest, nonce, seen }: Pick<ReadyMessage, 'digest' | 'nonce' | 'seen'>,
  ): void {
    if (!equalBytes(digest, open.digest)) {
      const message = `party ${from} asks for something else under this id`;
      open.over.reject(new KmsError('ABORTED', message, { party: from, kind: open.kind }));
      return;
    }
    const isSame = other.nonce !== undefined && equalBytes(other.nonce, nonce);
    const knows = seen !== undefined && equalBytes(seen, open.nonce);
    // Another nonce is that of a process which has started again: it has to see ours once more.
    other.knows = (isSame && other.knows) || knows;
    other.nonce = nonce;
  }

  #ask(open: Open, party: number): void {
    if (open.others.get(party)?.knows === false) this.#say(open, party, true);
  }

  #say({ kind, id, digest, nonce, others }: Open, to: number, asks: boolean): void {
    this.#options.send(to, { type: 'ready', asks, kind, id, digest, nonce, seen: others.get(to)?.nonce });
  }

  #settle({ others, nonce, over }: Open): void {
    const nonces = new Map([[this.#options.me, nonce]]);
    for (const [party, other] of others) {
      if (!other.knows || !other.nonce) return;
      nonces.set(party, other.nonce);
    }
    const hash = createHash('sha256');
    for (const party of [...nonces.keys()].sort((a, b) => a - b)) hash.update(nonces.get(party) ?? '');
    over.resolve(Uint8Array.from(hash.digest()));
  }

  #hold(key: string, open: Open): void {
    this.#held.set(key, { open, endedMs: this.#options.timers.monotonicMs() });
    for (const [oldest, held] of this.#held) {
      if (this.#held.size <= MOST_HELD && this.#isFresh(held)) break; // in the order of their ends
      this.#held.delete(oldest);
    }
  }

  #isFresh({ endedMs }: Held): boolean {
    return this.#options.timers.monotonicMs() - endedMs < KEEP_HELD_MS;
  }
}

function keyOf({ kind, id }: Pick<Meeting, 'kind' | 'id'>): string {
  return `${toHex(id)} ${kind}`;
}

/** Returns how long the meeting may take. */
function check({ kind, id, digest, parties, withinMs = DEFAULT_WITHIN_MS }: Meeting): number {
  const wrong = [
    ...(MEETING_KIND.test(kind) ? [] : ['kind needs 1 to 32 printable characters']),
    ...(id.byteLength === MEETING_FIELD_BYTES ? [] : ['id needs 32 bytes']),
    ...(digest.byteLength === MEETING_FIELD_BYTES ? [] : ['digest needs 32 bytes']),
    ...(parties.every((party) => Number.isSafeInteger(party) && party > 0) ? [] : ['parties need numbers from 1']),
    ...(withinMs > 0 && withinMs <= LONGEST_WITHIN_MS ? [] : ['withinMs needs at most a day']),
  ];
  if (wrong.length > 0) throw new KmsError('REQUEST_INVALID', `a meeting: ${wrong.join('; ')}`);
  return withinMs;
}

function late({ kind, others }: Open): KmsError {
  const missing = [...others].filter(([, { knows }]) => !knows).map(([party]) => party);
  const names = missing.sort((a, b) => a - b).join(', ');
  const message = `not all parties came to begin together; missing: ${names}`;
  return new KmsError('UNAVAILABLE', message, { kind, missing: names });
}
