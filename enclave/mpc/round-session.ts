/**
 * A session over anything that carries frames: rounds, deadlines, who is waited for, and the record of faults.
 *
 * Deadlines are absolute: the session's start and the time-outs of all rounds so far, on the monotonic clock. A party that
 * missed one is waited for no more, though what it sends in time still counts: under synchrony only a corrupt party
 * is ever late, and it may delay a session by one time-out and not by one a round. Spec: threshold protocols, section 2.1.
 */
import { KmsError } from '../../common/errors.ts';
import { type Delivery, Inbox } from './inbox.ts';
import type { Fault, RoundMessage, Session, SessionMode } from './session.ts';

/** What carries a session's frames to the other parties. */
export interface Wire {
  /** Sends a frame; calls `sent` when the payload may be changed again, or never will be read. */
  send(to: number, round: number, payload: Uint8Array, sent: () => void): void;
  /** Sends what is still to be sent, then nothing more. */
  end(): void;
  /** Ends at once. */
  close(): void;
}

/** Monotonic time and waits. */
export interface Timers {
  monotonicMs(): number;
  /** Calls back at an instant; returns a function that takes it back. */
  at(instantMs: number, callback: () => void): () => void;
}

/** Settings of a session. */
export interface RoundSessionOptions {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  readonly id: Uint8Array;
  readonly mode: SessionMode;
  readonly signal: AbortSignal;
  readonly timers: Timers;
  readonly wire: Wire;
  /** Time-out of a round in synchronous mode. It covers the slowest link, the work of a round and late starts. */
  readonly roundTimeoutMs: number;
  /** What one peer may have unread. */
  readonly bytesPerPeer: number;
  /** Told each fault that is noted. */
  readonly onFault?: ((fault: Fault) => void) | undefined;
}

const MAX_FAULTS = 1024;

/** A session; the network calls {@link RoundSession.deliver} and {@link RoundSession.lose}. */
export class RoundSession implements Session {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  readonly id: Uint8Array;
  readonly mode: SessionMode;
  readonly signal: AbortSignal;
  readonly parties: readonly number[];
  readonly #options: RoundSessionOptions;
  readonly #inbox: Inbox;
  readonly #startMs: number;
  readonly #corrupt = new Set<number>();
  readonly #faults: Fault[] = [];
  /** Parties that are not waited for: they missed a deadline, or their connection ended. */
  readonly #absent = new Set<number>();
  #round = 0;
  #error: KmsError | undefined;
  #wake: (() => void) | undefined;

  /** @throws KmsError `CONFIG_INVALID` unless n > 3t and the role and the id are in range. */
  constructor(options: RoundSessionOptions) {
    const { me, n, t, id, mode, signal, timers, bytesPerPeer } = options;
    if (!(t >= 0 && n > 3 * t && me >= 1 && me <= n)) {
      throw new KmsError('CONFIG_INVALID', 'needs n > 3t parties and a role among them', { me, n, t });
    }
    if (id.byteLength !== 32) throw new KmsError('CONFIG_INVALID', 'a session id has 32 bytes');
    [this.me, this.n, this.t, this.id, this.mode, this.signal] = [me, n, t, id, mode, signal];
    this.parties = Array.from({ length: n }, (_, index) => index + 1);
    this.#options = options;
    this.#inbox = new Inbox({ bytesPerPeer });
    this.#startMs = timers.monotonicMs();
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  get corrupt(): ReadonlySet<number> {
    return this.#corrupt;
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  takeRounds(count: number): number {
    const first = this.#round + 1;
    this.#round += count;
    return first;
  }

  send(to: number, round: number, payload: Uint8Array): void {
    this.#options.wire.send(to, round, payload, () => payload.fill(0));
  }

  sendToAll(round: number, payload: Uint8Array): void {
    for (const to of this.parties) if (to !== this.me) this.#options.wire.send(to, round, payload, () => undefined);
  }

  async *receive(round: number, skip: ReadonlySet<number> = new Set()): AsyncGenerator<RoundMessage, void, undefined> {
    const { timers, roundTimeoutMs } = this.#options;
    this.#inbox.begin(round);
    let isOver = false;
    const end = (): void => {
      isOver = true;
      this.#wake?.();
    };
    const deadlineMs = this.#startMs + round * roundTimeoutMs;
    const cancel = this.mode === 'sync' ? timers.at(deadlineMs, end) : undefined;
    try {
      for (;;) {
        if (this.signal.aborted) throw new KmsError('CANCELLED', 'the session was cancelled', { round });
        if (this.#error) throw this.#error;
        const message = this.#inbox.take(round);
        if (message) {
          if (!this.#corrupt.has(message.from)) yield message;
          continue;
        }
        const missing = this.parties.filter((party) => this.#isAwaited(party, round, skip));
        if (missing.length === 0) return;
        if (isOver) {
          for (const party of missing) this.#miss(party, round);
          return;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.#wake = undefined;
      cancel?.();
    }
  }

  exclude(party: number, what: string): void {
    if (!this.#corrupt.has(party)) this.note(party, what);
    this.#corrupt.add(party);
  }

  note(party: number, what: string): void {
    if (this.#faults.length >= MAX_FAULTS) return;
    this.#faults.push({ party, what });
    this.#options.onFault?.({ party, what });
  }

  end(): void {
    this.#stop(new KmsError('STATE_INVALID', 'the session has ended'));
    this.#options.wire.end();
  }

  fail(error: KmsError): void {
    this.#stop(error);
    this.#options.wire.close();
  }

  /** Takes a frame off the network; returns what became of it. */
  deliver(from: number, round: number, body: Uint8Array): Delivery {
    if (this.#error || from === this.me) return 'late';
    const delivery = this.#inbox.deliver(from, round, body);
    if (delivery === 'too early' || delivery === 'too much') this.note(from, `${delivery} in round ${round}`);
    this.#wake?.();
    return delivery;
  }

  /** A party cannot be reached any more. */
  lose(party: number): void {
    this.#absent.add(party);
    this.#wake?.();
  }

  #isAwaited(party: number, round: number, skip: ReadonlySet<number>): boolean {
    if (party === this.me || skip.has(party) || this.#corrupt.has(party) || this.#absent.has(party)) return false;
    return !this.#inbox.hasSpoken(party, round);
  }

  #miss(party: number, round: number): void {
    this.#absent.add(party);
    this.note(party, `silent in round ${round}`);
  }

  #stop(error: KmsError): void {
    this.#error ??= error;
    this.signal.removeEventListener('abort', this.#onAbort);
    this.#inbox.clear();
    this.#wake?.();
  }

  readonly #onAbort = (): void => {
    this.fail(new KmsError('CANCELLED', 'the session was cancelled'));
  };
}
