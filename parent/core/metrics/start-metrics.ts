/**
 * How the engine's start stands with the other parties, asked at scrape time. While the engine is away there are no values,
 * rather than old ones.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { Gauge } from 'prom-client';
import type { Clock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import { type StartStatus, type VaultStatus, VaultStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

/** What the metrics are read from. */
export interface StartMetricsDeps {
  readonly engine: Pick<EngineClient, 'call' | 'state'>;
  readonly clock: Clock;
}

interface Metric {
  readonly name: string;
  readonly help: string;
  /** Undefined: there is no value. */
  read(status: VaultStatus): number | undefined;
}

/** Of an engine whose start others confirm; none of another. */
const ofStart = (read: (start: StartStatus) => number) => (status: VaultStatus) => status.start && read(status.start);

const GAUGES: readonly Metric[] = [
  {
    name: 'kms_start_incarnation',
    help: 'Which start of this party the engine is',
    read: ({ incarnation }) => Number(incarnation),
  },
  {
    name: 'kms_start_restored',
    help: 'Whether the vault came out of a backup and nobody has confirmed it since',
    read: ({ sealed, restored }) => (sealed ? Number(restored) : undefined),
  },
  {
    name: 'kms_start_key_trouble',
    help: 'Whether the last call to what keeps the root key failed',
    read: ({ sealed, keyTrouble }) => (sealed ? Number(keyTrouble !== '') : undefined),
  },
  {
    name: 'kms_start_confirmed',
    help: 'Whether enough parties have acknowledged the start, so that the engine serves',
    read: ofStart(({ phase }) => Number(phase === 'confirmed')),
  },
  {
    name: 'kms_start_awaits_governance',
    help: 'Whether the start waits for a quorum restart, or for the reshare after one',
    read: ofStart(({ phase }) => Number(phase === 'quorum-restart' || phase === 'reshare-due')),
  },
  {
    name: 'kms_start_acknowledgements',
    help: 'Parties that have acknowledged the start',
    read: ofStart(({ acknowledged }) => acknowledged.length),
  },
  {
    name: 'kms_start_acknowledgements_needed',
    help: 'Acknowledgements without which the engine does not serve',
    read: ofStart(({ needed }) => needed),
  },
  {
    name: 'kms_start_refusals',
    help: 'Parties that refuse to acknowledge the start',
    read: ofStart(({ refused }) => refused.length),
  },
];

/** One scrape reads all metrics of one look; the next scrape looks again. */
const FRESH_MS = 500;
const TIMEOUT_MS = 2_000;
const NOTHING = new Uint8Array(0);

/** Registers `kms_start_*`. */
export function registerStartMetrics(registry: MetricsRegistry, { engine, clock }: StartMetricsDeps): void {
  let last: { readonly atMs: number; readonly status: Promise<VaultStatus | undefined> } | undefined;
  const look = async (): Promise<VaultStatus | undefined> => {
    const nowMs = clock.monotonicMs();
    if (!last || nowMs - last.atMs > FRESH_MS) last = { atMs: nowMs, status: statusOf(engine) };
    return await last.status;
  };
  for (const { name, help, read } of GAUGES) {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const status = await look();
        const value = status && read(status);
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }
}

async function statusOf(engine: StartMetricsDeps['engine']): Promise<VaultStatus | undefined> {
  if (engine.state !== 'connected') return undefined;
  try {
    return fromBinary(
      VaultStatusSchema,
      await engine.call(ENGINE_METHOD.vaultStatus, NOTHING, { timeoutMs: TIMEOUT_MS }),
    );
  } catch {
    return undefined; // an engine that is away has no numbers, and its absence has metrics of its own
  }
}
