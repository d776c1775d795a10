/**
 * Ends connections whose other end is silent: a machine that lost power or a path that swallows everything is noticed by
 * TCP a quarter of an hour later, when something was under way. Whoever dials then dials again.
 */
import type { RandomSource } from '../../common/random.ts';
import type { QuorumTimers } from '../threshold/quorum-links.ts';
import { type PingMessage, TOKEN_BYTES } from './control-messages.ts';

/** Settings of {@link Liveness}. */
export interface LivenessOptions {
  readonly random: RandomSource;
  readonly timers: Pick<QuorumTimers, 'monotonicMs' | 'at'>;
  readonly send: (to: number, message: PingMessage) => void;
  /** Parties that messages can be sent to now. */
  readonly reachable: () => readonly number[];
  /** Ends the connections to a party. */
  readonly drop: (party: number, reason: string) => void;
}

const PING_MS = 10_000;
/** Longer than any turn of the event loop of a busy peer; shorter than the wait of a caller. */
const SILENT_MS = 45_000;

/** See the file comment. */
export class Liveness {
  readonly #options: LivenessOptions;
  /** When each party was heard of last. */
  readonly #heardMs = new Map<number, number>();
  #cancel: () => void = () => undefined;
  #lastMs: number;

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.#lastMs = options.timers.monotonicMs();
    this.#wait();
  }

  /** Something came from a party, or a new connection to it stands. */
  heard(party: number): void {
    this.#heardMs.set(party, this.#options.timers.monotonicMs());
  }

  /** Watches no more. */
  close(): void {
    this.#cancel();
  }

  #wait(): void {
    const { timers } = this.#options;
    this.#cancel = timers.at(timers.monotonicMs() + PING_MS, () => {
      this.#look();
      this.#wait();
    });
  }

  #look(): void {
    const { random, timers, send, reachable, drop } = this.#options;
    const nowMs = timers.monotonicMs();
    // This process itself did nothing for a while, as on a machine that slept: the others may have said much.
    const wasAway = nowMs - this.#lastMs > 2 * PING_MS;
    this.#lastMs = nowMs;
    for (const party of reachable()) {
      const heardMs = this.#heardMs.get(party);
      if (heardMs === undefined || wasAway) this.#heardMs.set(party, nowMs);
      else if (nowMs - heardMs >= SILENT_MS) drop(party, `the engine of party ${party} has said nothing for long`);
      send(party, { type: 'ping', token: random(TOKEN_BYTES) });
    }
  }
}
