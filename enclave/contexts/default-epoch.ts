/**
 * The making of the default epoch at a quorum's first start, by all engines together, whenever each of them comes.
 *
 * Every engine tells all others how far it is, on every change, on every new connection and each second. An attempt begins
 * when all have heard the same fresh nonces of all, and is given up as soon as one of them shows another nonce: it was
 * restarted. An epoch that is stored counts once all have stored it, and is made anew if one has not. So after crashes at
 * any instant either all parties hold the same epoch, or they try again. A party that lies can only hinder. For
 * developer mode: in production, operators ask for epochs. Nothing here is secret.
 */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { RandomSource } from '../../common/random.ts';
import type { QuorumLinks } from '../threshold/quorum-links.ts';
import {
  decodeEpochMessage,
  type EpochMessage,
  encodeEpochMessage,
  isNewer,
  type NumberedMessage,
} from './default-epoch-message.ts';

/** Settings of {@link DefaultEpoch}. */
export interface DefaultEpochOptions {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  readonly incarnation: number;
  readonly channel: QuorumLinks;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Pause between two words to a party that has not changed anything. */
  readonly repeatMs?: number;
  /** What the vault holds of a set-up, if it does. */
  readonly stored: { readonly setUpId: Uint8Array; readonly settled: boolean } | undefined;
  /** Runs a set-up with all parties under an id that was never used, and stores what comes of it. */
  readonly setUp: (setUpId: Uint8Array, signal: AbortSignal) => Promise<void>;
  /** Erases what is stored. */
  readonly discard: () => Promise<void>;
  /** Stores that all parties have stored it. */
  readonly settle: () => Promise<void>;
}

const REPEAT_MS = 1_000;
const NONCE_BYTES = 32;
/** A settled party answers one that is not, at most this often. */
const ANSWER_PAUSE_MS = 100;

/** See the file comment. */
export class DefaultEpoch {
  readonly #options: DefaultEpochOptions;
  readonly #others: readonly number[];
  readonly #heard = new Map<number, NumberedMessage>();
  readonly #answeredMs = new Map<number, number>();
  readonly #unlisten: () => void;
  readonly #timer: NodeJS.Timeout;
  #counter = 0;
  /** Nothing before {@link settled} is called. */
  #said: EpochMessage | undefined;
  /** Called at everything that is heard. */
  #wake: () => void = () => undefined;

  constructor(options: DefaultEpochOptions) {
    const { me, n, channel, stored, repeatMs = REPEAT_MS } = options;
    if (stored?.settled) this.#said = { what: 'settled', setUpId: stored.setUpId };
    this.#options = options;
    this.#others = Array.from({ length: n }, (_, index) => index + 1).filter((party) => party !== me);
    this.#unlisten = channel.listen({
      onFrame: (from, frame) => this.#hear(from, frame),
      onConnected: (party) => this.#send(party),
    });
    this.#timer = setInterval(() => {
      if (this.#said?.what !== 'settled') this.#sendAll();
    }, repeatMs);
    this.#timer.unref();
  }

  /**
   * Resolves once all parties hold the same epoch. From then on this party only answers those that do not know it yet.
   *
   * @throws KmsError `CANCELLED` by the signal; `STATE_INVALID` if others hold the epoch and this party's vault does not;
   *   what `discard` and `settle` throw.
   */
  async settled(signal: AbortSignal): Promise<void> {
    const { stored, discard, settle } = this.#options;
    if (stored?.settled) return;
    let setUpId = stored?.setUpId;
    for (;;) {
      setUpId ??= await this.#make(signal);
      this.#say({ what: 'stored', setUpId });
      if (await this.#isHeldByAll(setUpId, signal)) {
        await settle();
        this.#say({ what: 'settled', setUpId });
        return;
      }
      this.#options.log.info({ event: 'epoch.default.again' });
      await discard();
      setUpId = undefined;
    }
  }

  /** Says and hears nothing more. */
  close(): void {
    clearInterval(this.#timer);
    this.#unlisten();
  }

  /** Tries until a set-up has succeeded here, and returns its id. */
  async #make(signal: AbortSignal): Promise<Uint8Array> {
    const { log, random, setUp, repeatMs = REPEAT_MS } = this.#options;
    for (let failures = 0; ; failures++) {
      const setUpId = await this.#agree(random(NONCE_BYTES), signal);
      const attempt = new AbortController();
      const look = (): void => {
        if (this.#isGivenUp(setUpId)) attempt.abort();
      };
      this.#wake = look;
      look();
      try {
        await setUp(setUpId, AbortSignal.any([signal, attempt.signal]));
        return setUpId;
      } catch (err) {
        if (signal.aborted || !isKmsError(err)) throw err;
        if (!attempt.signal.aborted) log.warn({ event: 'epoch.default.failed', err });
        await this.#pause(failures === 0 ? 0 : repeatMs, signal);
      } finally {
        this.#wake = () => undefined;
      }
    }
  }

  /** Waits until all parties have heard the same nonces of all, and returns the id that they make. */
  async #agree(mine: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    this.#say({ what: 'making', nonces: this.#nonces(mine) });
    return await this.#until(signal, () => {
      this.#requireNotLost();
      const nonces = this.#nonces(mine);
      const setUpId = idOf(nonces);
      if (this.#said?.what !== 'making' || !equalBytes(idOf(this.#said.nonces), setUpId)) {
        this.#say({ what: 'making', nonces });
      }
      const agreed = this.#others.every((party) => {
        const message = this.#heard.get(party)?.message;
        return message?.what === 'making' && equalBytes(idOf(message.nonces), setUpId);
      });
      return agreed ? setUpId : undefined;
    });
  }

  /** Waits until all parties hold the set-up, or one of them shows that it never will. */
  async #isHeldByAll(setUpId: Uint8Array, signal: AbortSignal): Promise<boolean> {
    return await this.#until(signal, () => {
      this.#requireNotLost(setUpId);
      const messages = this.#others.map((party) => this.#heard.get(party)?.message);
      if (messages.every((message) => message && holds(message, setUpId))) return true;
      return this.#isGivenUp(setUpId) ? false : undefined;
    });
  }

  /** Others hold an epoch for good that this party does not: more of them say so than may lie. */
  #requireNotLost(setUpId?: Uint8Array): void {
    const settled = [...this.#heard.values()].filter(
      ({ message }) => message.what === 'settled' && !(setUpId && holds(message, setUpId)),
    );
    if (settled.length <= this.#options.t) return;
    const message = 'the other parties have the default epoch, and this vault does not: restore it from a backup';
    throw new KmsError('STATE_INVALID', message);
  }

  /** Whether some party is in another attempt, or holds another set-up: then it has not stored this one, or not any more. */
  #isGivenUp(setUpId: Uint8Array): boolean {
    const isElsewhere = (message: EpochMessage): boolean => {
      if (message.what === 'making') return !equalBytes(idOf(message.nonces), setUpId);
      return message.what === 'stored' && !holds(message, setUpId); // who says settled may lie: more than t are believed
    };
    return [...this.#heard.values()].some(({ message }) => isElsewhere(message));
  }

  /** The nonces last heard, with one's own. */
  #nonces(mine: Uint8Array): readonly Uint8Array[] {
    return Array.from({ length: this.#options.n }, (_, index) => {
      const party = index + 1;
      if (party === this.#options.me) return mine;
      const message = this.#heard.get(party)?.message;
      return (message?.what === 'making' ? message.nonces[index] : undefined) ?? new Uint8Array(NONCE_BYTES);
    });
  }

  #hear(from: number, frame: Uint8Array): void {
    if (!this.#others.includes(from)) return;
    let heard: NumberedMessage;
    try {
      heard = decodeEpochMessage(frame, this.#options.n);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      this.#options.channel.drop(from, error.message);
      return;
    }
    if (!isNewer(heard, this.#heard.get(from))) return;
    this.#heard.set(from, heard);
    if (this.#said?.what === 'settled' && heard.message.what !== 'settled') this.#answer(from);
    this.#wake();
  }

  #answer(party: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - (this.#answeredMs.get(party) ?? Number.NEGATIVE_INFINITY) < ANSWER_PAUSE_MS) return;
    this.#answeredMs.set(party, nowMs);
    this.#send(party);
  }

  #say(message: EpochMessage): void {
    this.#said = message;
    this.#sendAll();
  }

  #sendAll(): void {
    for (const party of this.#others) this.#send(party);
  }

  /** What gets lost is said again, so nobody waits for it to arrive. */
  #send(party: number): void {
    const { incarnation, channel } = this.#options;
    const message = this.#said;
    if (!message) return;
    this.#counter += 1;
    const frame = encodeEpochMessage({ incarnation, counter: this.#counter, message });
    channel.send(party, frame).catch((error: unknown) => {
      if (!isKmsError(error)) throw error;
    });
  }

  /** Asks at everything that is heard until the answer is there. */
  async #until<T>(signal: AbortSignal, answer: () => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const ask = (): void => {
      try {
        if (signal.aborted) throw new KmsError('CANCELLED', 'the engine is stopping');
        const found = answer();
        if (found !== undefined) resolve(found);
      } catch (error) {
        reject(error);
      }
    };
    signal.addEventListener('abort', ask);
    this.#wake = ask;
    ask();
    try {
      return await promise;
    } finally {
      this.#wake = () => undefined;
      signal.removeEventListener('abort', ask);
    }
  }

  /** A pause that the signal ends. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (ms === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const stop = (): void => resolve();
    signal.addEventListener('abort', stop, { once: true });
    await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

function holds(message: EpochMessage, setUpId: Uint8Array): boolean {
  return message.what !== 'making' && equalBytes(message.setUpId, setUpId);
}

/** Names the attempt in which all parties have heard these nonces. */
function idOf(nonces: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256').update('arca default epoch');
  for (const nonce of nonces) hash.update(nonce);
  return new Uint8Array(hash.digest());
}
