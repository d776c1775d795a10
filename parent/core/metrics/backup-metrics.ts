/**
 * How far the backup is behind, asked of the engine at scrape time: a backup that does not follow is nobody's secret.
 *
 * While the engine is away, or has no backup vault, there are no values, rather than old ones.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { Counter, Gauge } from 'prom-client';
import type { Clock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import { type BackupStatus, EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

/** What the metrics are read from. */
export interface BackupMetricsDeps {
  readonly engine: Pick<EngineClient, 'call' | 'state'>;
  readonly clock: Clock;
}

interface Metric {
  readonly name: string;
  readonly help: string;
  /** Undefined: there is no value. */
  read(status: BackupStatus, nowMs: number): number | undefined;
}

const GAUGES: readonly Metric[] = [
  {
    name: 'kms_backup_behind_objects',
    help: 'Objects of the private vault that the backup does not have as they are now',
    read: ({ behind }) => Number(behind),
  },
  {
    name: 'kms_backup_behind_seconds',
    help: 'For how long the backup has not been complete; 0 if it is',
    read: ({ behindMs }) => Number(behindMs) / 1000,
  },
  {
    name: 'kms_backup_failing',
    help: 'Whether the last attempt to copy failed',
    read: ({ failureCode }) => Number(failureCode !== ''),
  },
  {
    name: 'kms_backup_drill_age_seconds',
    help: 'Time since a restore was last rehearsed; no value before the first time',
    read: ({ drill }, nowMs) => drill && Math.max(0, (nowMs - Number(drill.timeMs)) / 1000),
  },
  {
    name: 'kms_backup_drill_passed',
    help: 'Whether the last rehearsed restore came to its end; no value before the first time',
    read: ({ drill }) => drill && Number(drill.passed),
  },
];

/** One scrape reads all metrics of one look; the next scrape looks again. */
const FRESH_MS = 500;
const TIMEOUT_MS = 2_000;
const NOTHING = new Uint8Array(0);

/** Registers `kms_backup_*`. */
export function registerBackupMetrics(registry: MetricsRegistry, { engine, clock }: BackupMetricsDeps): void {
  let last: { readonly atMs: number; readonly status: Promise<BackupStatus | undefined> } | undefined;
  const look = async (): Promise<BackupStatus | undefined> => {
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
        const value = status && read(status, clock.nowMs());
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }
  // The published name and words: the engine counts attempts, not operations.
  const labels = { operation: 'private_vault', error: 'backup_error' };
  new Counter({
    name: 'kms_backup_errors_total',
    help: 'Attempts to copy into the backup that failed',
    labelNames: ['operation', 'error'],
    registers: [registry],
    async collect() {
      const status = await look();
      this.reset();
      if (status) this.inc(labels, Number(status.failures));
    },
  });
}

async function statusOf(engine: BackupMetricsDeps['engine']): Promise<BackupStatus | undefined> {
  if (engine.state !== 'connected') return undefined;
  try {
    const answer = await engine.call(ENGINE_METHOD.status, NOTHING, { timeoutMs: TIMEOUT_MS });
    return fromBinary(EngineStatusSchema, answer).backup;
  } catch {
    return undefined; // an engine that is away has no numbers, and its absence has metrics of its own
  }
}
