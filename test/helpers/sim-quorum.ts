/**
 * A quorum of engines in one process: a virtual clock and a network that delays, loses, doubles and reorders frames, by
 * a seed. Parties may follow a strategy that changes what they send. The same seed gives the same run.
 */
import { FaultLedger } from '../../enclave/threshold/fault-ledger.ts';
import type { OpenDecryption, PartialDecrypt } from '../../enclave/threshold/kernels.ts';
import { Quorum } from '../../enclave/threshold/quorum.ts';
import { decodeFrame } from '../../enclave/threshold/quorum-frame.ts';
import type { QuorumLimits } from '../../enclave/threshold/quorum-limits.ts';
import type { QuorumLinks, QuorumListener, QuorumTimers } from '../../enclave/threshold/quorum-links.ts';
import { fakeOpenDecryption, fakePartialDecrypt } from './fake-threshold.ts';
import { present } from './present.ts';

/** A frame that a party sends in place of its own. */
export interface Outgoing {
  readonly frame: Uint8Array;
  readonly delayMs?: number;
}

/** What a party does with each of its frames. */
export type Strategy = (frame: Uint8Array, to: number, random: () => number) => readonly Outgoing[];

/** Settings of a simulation. */
export interface SimOptions {
  readonly n: number;
  readonly t: number;
  readonly seed: number;
  /** Frames take from 1 ms to this. */
  readonly delayMs?: number;
  /** Part of the frames that is lost. */
  readonly loss?: number;
  /** Part of the frames that comes twice. */
  readonly double?: number;
  readonly strategies?: ReadonlyMap<number, Strategy>;
  readonly limits?: Partial<QuorumLimits>;
  readonly open?: OpenDecryption;
  /** Each party's arithmetic; the fake one if absent. */
  readonly partialDecrypt?: (party: number) => PartialDecrypt;
}

/** One simulated engine. */
export interface SimParty {
  readonly party: number;
  readonly ledger: FaultLedger;
  readonly partialDecrypt: PartialDecrypt;
  quorum: Quorum;
  /** Frames that it has sent. */
  frames: number;
  /** Entries with shares that its engine let out. */
  sharesSent: number;
}

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

const RECONNECT_MS = 40;

/** Numbers from 0 to 1 out of a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** See the file comment. */
export class SimQuorum {
  readonly #options: SimOptions;
  readonly #random: () => number;
  readonly #listeners = new Map<number, QuorumListener>();
  /** Pairs without a connection, until when. */
  readonly #cut = new Map<string, number>();
  readonly #down = new Set<number>();
  #events: Event[] = [];
  #order = 0;
  #working = 0;
  nowMs = 0;
  readonly parties: readonly SimParty[];

  constructor(options: SimOptions) {
    this.#options = options;
    this.#random = randomFrom(options.seed);
    this.parties = Array.from({ length: options.n }, (_, index) => this.#party(index + 1));
  }

  /** Returns a party by its number. */
  party(number: number): SimParty {
    return present(this.parties[number - 1]);
  }

  /** Returns the parties that follow no strategy. */
  get honest(): readonly SimParty[] {
    return this.parties.filter(({ party }) => !this.#options.strategies?.has(party));
  }

  /** Takes a party off the network; what it knows is lost when it comes back. */
  stop(number: number): void {
    this.#down.add(number);
    this.party(number).quorum.close();
  }

  /** Brings a party back, empty. */
  restart(number: number): void {
    const sim = this.party(number);
    this.#down.delete(number);
    sim.quorum = this.#quorum(number, sim.ledger);
    for (const { party } of this.parties) if (party !== number) this.#connected(party, number);
  }

  /** Ends the connection of two parties for a moment. */
  cut(a: number, b: number, forMs = RECONNECT_MS): void {
    this.#cut.set(pairOf(a, b), this.nowMs + forMs);
    this.#at(this.nowMs + forMs, () => this.#connected(a, b));
  }

  /** Calls back at an instant of the simulation. */
  later(delayMs: number, callback: () => void): void {
    this.#at(this.nowMs + delayMs, callback);
  }

  /** Runs until an instant, or until the promise is settled, and gives its result. */
  async run<T>(until: Promise<T>, mostMs = 700_000): Promise<T> {
    let isSettled = false;
    until.then(
      () => {
        isSettled = true;
      },
      () => {
        isSettled = true;
      },
    );
    await this.#rest();
    while (!isSettled && this.nowMs < mostMs && (await this.#step()));
    if (!isSettled) throw new Error(`nothing came of it by ${this.nowMs} ms (seed ${this.#options.seed})`);
    return await until;
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    this.#at(endMs, () => undefined);
    await this.#rest();
    while (this.nowMs < endMs && (await this.#step()));
  }

  /** Returns work that takes no time of the simulation. */
  counted<A extends unknown[], R>(work: (...args: A) => Promise<R>): (...args: A) => Promise<R> {
    return async (...args) => {
      this.#working += 1;
      try {
        return await work(...args);
      } finally {
        this.#working -= 1;
      }
    };
  }

  async #step(): Promise<boolean> {
    const next = this.#pop();
    if (!next) return false;
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.run();
    // All that is due at one instant is one tick.
    while (this.#events[0] && this.#events[0].atMs <= this.nowMs) this.#pop()?.run();
    await this.#rest();
    return true;
  }

  /** Waits until nothing runs but time. */
  async #rest(): Promise<void> {
    do await new Promise((resolve) => setImmediate(resolve));
    while (this.#working > 0);
  }

  #party(party: number): SimParty {
    const { partialDecrypt } = this.#options;
    const ledger = new FaultLedger(() => this.nowMs);
    const decrypt = this.counted(partialDecrypt?.(party) ?? fakePartialDecrypt(party));
    return { party, ledger, partialDecrypt: decrypt, quorum: this.#quorum(party, ledger), frames: 0, sharesSent: 0 };
  }

  #quorum(me: number, ledger: FaultLedger): Quorum {
    const { n, t, limits, open = fakeOpenDecryption } = this.#options;
    const [links, timers] = [this.#links(me), this.#timers];
    return new Quorum({ me, n, t, links, timers, ledger, open: this.counted(open), ...(limits && { limits }) });
  }

  readonly #timers: QuorumTimers = {
    monotonicMs: () => this.nowMs,
    at: (instantMs, callback) => {
      let isOn = true;
      this.#at(instantMs, () => {
        if (isOn) callback();
      });
      return () => {
        isOn = false;
      };
    },
    soon: (callback) => this.#at(this.nowMs, callback),
  };

  #links(me: number): QuorumLinks {
    return {
      listen: (listener) => {
        this.#listeners.set(me, listener);
        return () => {
          if (this.#listeners.get(me) === listener) this.#listeners.delete(me);
        };
      },
      send: async (to, frame) => {
        this.party(me).sharesSent += decodeFrame(frame).filter(({ what }) => what === 'shares').length;
        const strategy = this.#options.strategies?.get(me);
        const outgoing = strategy ? strategy(frame, to, this.#random) : [{ frame }];
        for (const { frame: sent, delayMs = 0 } of outgoing) this.#carry(me, to, sent, delayMs);
      },
      drop: (party) => this.cut(me, party),
    };
  }

  #carry(from: number, to: number, frame: Uint8Array, extraMs: number): void {
    const { delayMs = 5, loss = 0, double = 0 } = this.#options;
    this.party(from).frames += 1;
    if (this.#random() < loss || this.#isCut(from, to)) return;
    const copies = this.#random() < double ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const atMs = this.nowMs + extraMs + 1 + this.#random() * (delayMs - 1);
      this.#at(atMs, () => {
        if (!this.#isCut(from, to)) this.#listeners.get(to)?.onFrame(from, Uint8Array.from(frame));
      });
    }
  }

  #connected(a: number, b: number): void {
    if (this.#isCut(a, b)) return;
    this.#listeners.get(a)?.onConnected(b);
    this.#listeners.get(b)?.onConnected(a);
  }

  #isCut(a: number, b: number): boolean {
    return this.#down.has(a) || this.#down.has(b) || (this.#cut.get(pairOf(a, b)) ?? 0) > this.nowMs;
  }

  #at(atMs: number, run: () => void): void {
    const event = { atMs, order: this.#order++, run };
    const heap = this.#events;
    heap.push(event);
    let at = heap.length - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = present(heap[above]);
      if (!isBefore(event, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#events;
    const first = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      const [left, right] = [heap[below], heap[below + 1]];
      if (!left) break;
      let least = left;
      if (right && isBefore(right, left)) {
        least = right;
        below += 1;
      }
      if (!isBefore(least, last)) break;
      heap[at] = least;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function pairOf(a: number, b: number): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
