/**
 * How far the backup is behind, asked of the engine at scrape time: a backup that does not follow is nobody's secret.
 *
 * While the engine is away, or has no backup vault, there are no values, rather than old ones.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { Counter } from 'prom-client';
import type { Clock } from '../../../common/clock.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import { type BackupStatus, EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { type AskedEngine, askStatus, type EngineGauge, registerEngineGauges } from './engine-gauges.ts';

/** What the metrics are read from. */
export interface BackupMetricsDeps {
  readonly engine: AskedEngine;
  readonly clock: Clock;
}

const GAUGES: readonly EngineGauge<BackupStatus>[] = [
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
    name: 'kms_backup_compared',
    help: 'Whether the private vault was compared with all of the backup when the engine started',
    read: ({ uncompared }) => Number(uncompared === ''),
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

/** Registers `kms_backup_*`. */
export function registerBackupMetrics(registry: MetricsRegistry, { engine, clock }: BackupMetricsDeps): void {
  const ask = async (): Promise<BackupStatus | undefined> => {
    const answer = await askStatus(engine, ENGINE_METHOD.status);
    return answer && fromBinary(EngineStatusSchema, answer).backup;
  };
  const look = registerEngineGauges(registry, GAUGES, { ask, clock });
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
