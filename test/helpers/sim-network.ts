/**
 * n parties in one process on a network that a seed decides: virtual time, delays, reordering, repeats, and parties that
 * lie. Nothing waits for real time; a run that cannot go on fails instead of hanging, and every failure names its seed.
 *
 * @example
 * const network = new SimNetwork({ n: 4, t: 1, seed: 7, liars: new Map([[2, garbage]]) });
 * const results = await network.run((session) => reliableBroadcast(session, value));
 */
import { createHash } from 'node:crypto';
import { toHex } from '../../common/bytes.ts';
import { RoundSession, type Timers } from '../../enclave/mpc/round-session.ts';
import type { Session, SessionMode, SessionNetwork } from '../../enclave/mpc/session.ts';

/** A frame on the simulated network. */
export interface SimFrame {
  readonly from: number;
  readonly to: number;
  readonly session: string;
  readonly round: number;
  readonly payload: Uint8Array;
}

/** Random choices of a seed. */
export interface SimRandom {
  /** From 0 to below `limit`. */
  below(limit: number): number;
  bytes(sizeBytes: number): Uint8Array<ArrayBuffer>;
}

/** What a frame of a liar becomes: what is sent in its place, and when (in ms, from now; default as for any frame). */
export type SimLie = readonly (SimFrame & { readonly delayMs?: number })[];

/** How a party lies: it runs the protocol, and each frame of it passes here. `all` is what it has seen and sent so far. */
export type Strategy = (frame: SimFrame, random: SimRandom, all: readonly SimFrame[]) => SimLie;

/** Settings of a network. */
export interface SimOptions {
  readonly n: number;
  readonly t: number;
  readonly seed: number;
  readonly liars?: ReadonlyMap<number, Strategy>;
  /** Slowest honest frame. Default 200. */
  readonly maxDelayMs?: number;
  /** Time-out of a round. Default 1000. */
  readonly roundTimeoutMs?: number;
  /** One in so many frames of everybody comes twice. Default 10. */
  readonly repeatOneIn?: number;
  /** These parties and the others do not hear each other until then; what they said comes after it. */
  readonly partition?: { readonly parties: readonly number[]; readonly untilMs: number };
}

/** Returns random choices that follow from a text. */
export function simRandom(seed: string): SimRandom {
  const key = createHash('sha256').update(seed).digest();
  let counter = 0;
  let pool = Buffer.alloc(0);
  const bytes = (sizeBytes: number): Uint8Array<ArrayBuffer> => {
    if (pool.byteLength < sizeBytes) {
      const hash = createHash('shake256', { outputLength: Math.max(4096, sizeBytes) });
      pool = hash.update(key).update(String(counter++)).digest();
    }
    const taken = Uint8Array.from(pool.subarray(0, sizeBytes));
    pool = pool.subarray(sizeBytes);
    return taken;
  };
  return { bytes, below: (limit) => new DataView(bytes(4).buffer).getUint32(0) % limit };
}

/** The network. Use it for one run. */
export class SimNetwork {
  readonly n: number;
  readonly t: number;
  readonly honest: readonly number[];
  /** All frames, as they were put on the network, in order. */
  readonly frames: SimFrame[] = [];
  readonly #options: SimOptions;
  readonly #random: SimRandom;
  readonly #sessions = new Map<string, RoundSession>();
  /** Frames for sessions that their receiver has not opened yet. */
  readonly #early = new Map<string, SimFrame[]>();
  /** What happens, by instant. */
  readonly #events = new Map<number, Set<() => void>>();
  #nowMs = 0;
  readonly #work = new Set<Promise<unknown>>();

  constructor(options: SimOptions) {
    this.n = options.n;
    this.t = options.t;
    this.#options = options;
    this.#random = simRandom(`network ${options.seed}`);
    this.honest = Array.from({ length: options.n }, (_, index) => index + 1).filter(
      (party) => !options.liars?.has(party),
    );
  }

  /** Virtual time since the beginning. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Lets time stand still until real work, as on the thread pool, is done. */
  async awaited<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work);
    try {
      return await work;
    } finally {
      this.#work.delete(work);
    }
  }

  /** What a party sees of the network. */
  of(me: number): SessionNetwork {
    return { me, n: this.n, t: this.t, open: (id, mode, signal) => this.#open(me, id, mode, signal) };
  }

  /**
   * Runs a protocol at all parties, each in a session of the same id.
   *
   * @returns What each honest party got; a failure is an Error.
   */
  run<T>(protocol: (session: Session) => Promise<T>, mode: SessionMode = 'sync'): Promise<Map<number, T | Error>> {
    const id = new Uint8Array(32).fill(1);
    return this.runEach((network) => protocol(network.open(id, mode, new AbortController().signal)));
  }

  /** Runs a program at all parties until every honest one has ended. */
  async runEach<T>(program: (network: SessionNetwork) => Promise<T>): Promise<Map<number, T | Error>> {
    const results = new Map<number, T | Error>();
    for (let party = 1; party <= this.n; party++) {
      const ended = program(this.of(party)).then(
        (value) => results.set(party, value),
        (error: unknown) => results.set(party, error instanceof Error ? error : new Error(String(error))),
      );
      ended.catch(() => undefined);
    }
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#work.size > 0) continue;
      if (this.honest.every((party) => results.has(party))) break;
      if (!this.#step()) throw new Error(`seed ${this.#options.seed}: nothing is left to happen, and parties wait`);
    }
    return new Map([...results].filter(([party]) => this.honest.includes(party)).sort(([a], [b]) => a - b));
  }

  /** Lets everything happen that happens at the next instant. */
  #step(): boolean {
    if (this.#events.size === 0) return false;
    this.#nowMs = Math.min(...this.#events.keys());
    const due = this.#events.get(this.#nowMs) ?? [];
    this.#events.delete(this.#nowMs);
    for (const happen of due) happen();
    return true;
  }

  #at(atMs: number, callback: () => void): () => void {
    const happen = (): void => callback(); // the same callback may be set twice
    const due = this.#events.get(atMs) ?? new Set();
    this.#events.set(atMs, due.add(happen));
    return () => {
      due.delete(happen);
      if (due.size === 0 && this.#events.get(atMs) === due) this.#events.delete(atMs);
    };
  }

  #open(me: number, id: Uint8Array, mode: SessionMode, signal: AbortSignal): Session {
    const { n, t, roundTimeoutMs = 1000 } = this.#options;
    const name = toHex(id);
    const timers: Timers = {
      monotonicMs: () => this.#nowMs,
      at: (instantMs, callback) => this.#at(Math.max(instantMs, this.#nowMs), callback),
    };
    const session = new RoundSession({
      me,
      n,
      t,
      id,
      mode,
      signal,
      timers,
      roundTimeoutMs,
      bytesPerPeer: 64 * 1024 * 1024,
      wire: {
        send: (to, round, payload, sent) => {
          this.#leave({ from: me, to, session: name, round, payload: Uint8Array.from(payload) });
          sent();
        },
        end: () => undefined,
        close: () => undefined,
      },
    });
    this.#sessions.set(`${me} ${name}`, session);
    for (const frame of this.#early.get(`${me} ${name}`) ?? []) this.#arrive(frame);
    return session;
  }

  #leave(frame: SimFrame): void {
    const lie = this.#options.liars?.get(frame.from);
    const lies: SimLie = lie ? lie(frame, this.#random, this.frames) : [frame];
    for (const lied of lies) {
      const sent = { ...lied, from: frame.from }; // channels are authenticated
      const { maxDelayMs = 200, repeatOneIn = 10 } = this.#options;
      const delayMs = this.#heldUpMs(sent) + (sent.delayMs ?? 1 + this.#random.below(maxDelayMs));
      this.frames.push(sent);
      this.#at(this.#nowMs + delayMs, () => this.#arrive(sent));
      if (this.#random.below(repeatOneIn) === 0) {
        this.#at(this.#nowMs + delayMs + this.#random.below(maxDelayMs), () => this.#arrive(sent));
      }
    }
  }

  #heldUpMs({ from, to }: SimFrame): number {
    const { parties, untilMs } = this.#options.partition ?? { parties: [], untilMs: 0 };
    return parties.includes(from) === parties.includes(to) ? 0 : Math.max(0, untilMs - this.#nowMs);
  }

  #arrive(frame: SimFrame): void {
    const key = `${frame.to} ${frame.session}`;
    const session = this.#sessions.get(key);
    if (session) session.deliver(frame.from, frame.round, Uint8Array.from(frame.payload));
    else this.#early.set(key, [...(this.#early.get(key) ?? []), frame]);
  }
}
