/**
 * Tries other parties over the connections that stand: a token there and back. A party without a connection is not
 * dialled for it: somebody does that all the time, and its last failure says why there is none.
 */
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type { QuorumTimers } from '../threshold/quorum-links.ts';
import { type PingMessage, TOKEN_BYTES } from './control-messages.ts';
import type { PartyReach } from './peer-network.ts';

/** Settings of {@link Reachability}. */
export interface ReachabilityOptions {
  readonly me: number;
  readonly random: RandomSource;
  readonly timers: Pick<QuorumTimers, 'monotonicMs' | 'at'>;
  readonly send: (to: number, message: PingMessage) => void;
  /** Parties that messages can be sent to now. */
  readonly reachable: () => readonly number[];
  /** What is known of a party that cannot be reached. */
  readonly describe: (party: number) => { readonly endpoint: string; readonly reason: string };
}

interface Ping {
  readonly party: number;
  readonly back: () => void;
}

const WITHIN_MS = 2_000;

/** See the file comment. */
export class Reachability {
  readonly #options: ReachabilityOptions;
  readonly #pings = new Map<string, Ping>();

  constructor(options: ReachabilityOptions) {
    this.#options = options;
  }

  /** See `PeerNetwork.reach`. @throws KmsError `CANCELLED` by the signal. */
  async reach(parties: readonly number[], signal: AbortSignal): Promise<readonly PartyReach[]> {
    const others = [...new Set(parties)].filter((party) => party !== this.#options.me).sort((a, b) => a - b);
    return await Promise.all(others.map((party) => this.#try(party, signal)));
  }

  /** A ping or its answer came. */
  take(from: number, { type, token }: PingMessage): void {
    if (type === 'ping') {
      this.#options.send(from, { type: 'pong', token });
      return;
    }
    const ping = this.#pings.get(toHex(token));
    if (ping?.party === from) ping.back();
  }

  async #try(party: number, signal: AbortSignal): Promise<PartyReach> {
    const { random, timers, send, reachable, describe } = this.#options;
    const { endpoint, reason } = describe(party);
    const failed = (error: string): PartyReach => ({ party, endpoint, reachable: false, latencyMs: 0, error });
    if (!reachable().includes(party)) return failed(reason);
    const token = random(TOKEN_BYTES);
    const key = toHex(token);
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const onAbort = (): void => reject(new KmsError('CANCELLED', 'no longer waiting for the other parties'));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    const sinceMs = timers.monotonicMs();
    const cancel = timers.at(sinceMs + WITHIN_MS, () => resolve(false));
    this.#pings.set(key, { party, back: () => resolve(true) });
    try {
      send(party, { type: 'ping', token });
      if (!(await promise)) return failed(`connected, but did not answer within ${WITHIN_MS / 1000} s`);
      const latencyMs = Math.max(1, Math.round(timers.monotonicMs() - sinceMs));
      return { party, endpoint, reachable: true, latencyMs, error: '' };
    } finally {
      cancel();
      this.#pings.delete(key);
      signal.removeEventListener('abort', onAbort);
    }
  }
}
