/**
 * Measures what can be sent to other parties: `BandwidthBenchmark`. Its sessions share the connections that everything
 * else uses, each with a window of its own, so that what is measured is what protocols get. Nothing here is secret.
 */
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { FrameSession } from '../../attestation/mesh/frame-session.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type { QuorumTimers } from '../threshold/quorum-links.ts';
import { checkBandwidthTest } from './bandwidth-limits.ts';
import { openBandwidthSession, sendPayload } from './bandwidth-session.ts';
import type { BandwidthTest, Latencies, PartyBandwidth } from './peer-network.ts';

/** Settings of {@link Bandwidth}. */
export interface BandwidthOptions {
  readonly me: number;
  readonly links: ReadonlyMap<number, FrameLink>;
  readonly random: RandomSource;
  readonly timers: Pick<QuorumTimers, 'monotonicMs' | 'at'>;
  readonly endpoint: (party: number) => string;
}

/** How long payloads that are under way at the end of the time may still take; `once` has this alone. */
const GRACE_MS = 30_000;

/** One test at a time. */
export class Bandwidth {
  readonly #options: BandwidthOptions;
  #running = false;

  constructor(options: BandwidthOptions) {
    this.#options = options;
  }

  /** See `PeerNetwork.bandwidth`. */
  async measure(test: BandwidthTest, signal: AbortSignal): Promise<readonly PartyBandwidth[]> {
    checkBandwidthTest(test);
    if (this.#running) throw new KmsError('RESOURCE_EXHAUSTED', 'another bandwidth test is running');
    this.#running = true;
    try {
      const others = [...new Set(test.parties)].filter((party) => party !== this.#options.me).sort((a, b) => a - b);
      return await Promise.all(others.map((party) => this.#party(party, test, signal)));
    } finally {
      this.#running = false;
    }
  }

  async #party(party: number, test: BandwidthTest, signal: AbortSignal): Promise<PartyBandwidth> {
    const { links, timers, endpoint } = this.#options;
    const link = links.get(party);
    const sinceMs = timers.monotonicMs();
    const runs = link
      ? await Promise.all(Array.from({ length: test.sessions }, () => this.#session(link, test, signal)))
      : [];
    if (signal.aborted) throw new KmsError('CANCELLED', 'the bandwidth test was given up');
    const latencies = runs.flat();
    return {
      party,
      endpoint: endpoint(party),
      bytesSent: latencies.length * test.payloadBytes,
      durationMs: latencies.length === 0 ? 0 : Math.max(1, Math.round(timers.monotonicMs() - sinceMs)),
      latency: summary(latencies),
    };
  }

  /** Returns the latency of each payload that came through; a connection that ends ends the session's part. */
  async #session(link: FrameLink, test: BandwidthTest, signal: AbortSignal): Promise<number[]> {
    const { random, timers } = this.#options;
    const latencies: number[] = [];
    const endMs = timers.monotonicMs() + (test.kind === 'duration' ? test.durationMs : 0);
    let session: FrameSession | undefined;
    const stop = (): void => session?.close();
    const cancel = timers.at(endMs + GRACE_MS, stop);
    signal.addEventListener('abort', stop, { once: true });
    try {
      session = openBandwidthSession(link, random);
      do {
        const sinceMs = timers.monotonicMs();
        if (signal.aborted || !(await sendPayload(session, test.payloadBytes))) break;
        latencies.push(timers.monotonicMs() - sinceMs);
      } while (test.kind === 'duration' && timers.monotonicMs() < endMs);
      session.end();
      // The peer ends its side, too; then neither keeps anything of it.
      await session.receive(signal);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      session?.close();
    } finally {
      cancel();
      signal.removeEventListener('abort', stop);
    }
    return latencies;
  }
}

function summary(latencies: readonly number[]): Latencies {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
  const sum = sorted.reduce((total, latency) => total + latency, 0);
  const average = sorted.length === 0 ? 0 : Math.round(sum / sorted.length);
  return { average, p50: at(0.5), p90: at(0.9), p99: at(0.99), slowest: at(1), fastest: at(0) };
}
