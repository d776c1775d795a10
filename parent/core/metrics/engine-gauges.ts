/**
 * Gauges that are read from what the engine says of itself, at scrape time. While the engine is away there are no values,
 * rather than old ones.
 */
import { Gauge } from 'prom-client';
import type { Clock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import type { EngineMethod } from '../../../wire/frames.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

/** One gauge of a status. */
export interface EngineGauge<S> {
  readonly name: string;
  readonly help: string;
  /** Undefined: there is no value. */
  read(status: S, nowMs: number): number | undefined;
}

/** What is asked, and how. */
export type AskedEngine = Pick<EngineClient, 'call' | 'state'>;

/** One scrape reads all metrics of one look; the next scrape looks again. */
const FRESH_MS = 500;
const TIMEOUT_MS = 2_000;
const NOTHING = new Uint8Array(0);

/** Asks the engine for a status; undefined if it is away or has none: its absence has metrics of its own. */
export async function askStatus(engine: AskedEngine, method: EngineMethod): Promise<Uint8Array | undefined> {
  if (engine.state !== 'connected') return undefined;
  return await engine.call(method, NOTHING, { timeoutMs: TIMEOUT_MS }).catch(() => undefined);
}

/**
 * Registers gauges of one status.
 *
 * @returns What reads the status: all that ask at one scrape share a look.
 */
export function registerEngineGauges<S>(
  registry: MetricsRegistry,
  gauges: readonly EngineGauge<S>[],
  { ask, clock }: { readonly ask: () => Promise<S | undefined>; readonly clock: Clock },
): () => Promise<S | undefined> {
  let last: { readonly atMs: number; readonly status: Promise<S | undefined> } | undefined;
  const look = async (): Promise<S | undefined> => {
    const nowMs = clock.monotonicMs();
    if (!last || nowMs - last.atMs > FRESH_MS) last = { atMs: nowMs, status: ask() };
    return await last.status;
  };
  for (const { name, help, read } of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const status = await look();
        const value = status && read(status, clock.nowMs());
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }
  return look;
}
