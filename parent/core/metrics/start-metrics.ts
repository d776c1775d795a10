/**
 * How the engine's start stands with the other parties, asked at scrape time. While the engine is away there are no values,
 * rather than old ones.
 */
import { fromBinary } from '@bufbuild/protobuf';
import type { Clock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import { type StartStatus, type VaultStatus, VaultStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { type AskedEngine, askStatus, type EngineGauge, registerEngineGauges } from './engine-gauges.ts';

/** What the metrics are read from. */
export interface StartMetricsDeps {
  readonly engine: AskedEngine;
  readonly clock: Clock;
}

/** Of an engine whose start others confirm; none of another. */
const ofStart = (read: (start: StartStatus) => number) => (status: VaultStatus) => status.start && read(status.start);

const GAUGES: readonly EngineGauge<VaultStatus>[] = [
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

/** Registers `kms_start_*`. */
export function registerStartMetrics(registry: MetricsRegistry, { engine, clock }: StartMetricsDeps): void {
  const ask = async (): Promise<VaultStatus | undefined> => {
    const answer = await askStatus(engine, ENGINE_METHOD.vaultStatus);
    return answer && fromBinary(VaultStatusSchema, answer);
  };
  registerEngineGauges(registry, GAUGES, { ask, clock });
}
