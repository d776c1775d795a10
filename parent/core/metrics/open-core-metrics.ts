/**
 * The Core's metrics on a prom-client registry, under the names and buckets of the published KMS (spec 10).
 */
import { Gauge as PromGauge } from 'prom-client';
import { ERROR_STATUS, isKmsError } from '../../../common/errors.ts';
import type { MetricsRegistry } from '../../../common/metrics.ts';
import type { CoreMetrics, Gauge, Operation } from './core-metrics.ts';
import { PlainCounter, PlainHistogram } from './plain-metrics.ts';

const DURATION_BUCKETS_MS = [
  1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000,
];
const SIZE_BUCKETS_BYTES = [10, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36].map((power) => 2 ** power);

/** Published words for errors, by gRPC status number; every other status is `other`. */
const ERROR_WORDS: Readonly<Record<number, string>> = {
  1: 'cancelled',
  3: 'invalid_argument',
  5: 'not_found',
  6: 'already_exists',
  8: 'resource_exhausted',
  9: 'failed_precondition',
  10: 'aborted',
  13: 'internal_error',
  14: 'unavailable',
};

const GAUGE_HELP: Readonly<Record<Gauge, string>> = {
  kms_rate_limiter_usage: 'Tokens of the rate limiter in use',
  kms_tasks: 'Operations running in the background',
  kms_fhe_key_cache_size: 'FHE keys that the engine serves',
  kms_meta_storage_user_decryptions: 'User decryptions that are running',
  kms_meta_storage_pub_decryptions: 'Public decryptions that are running',
  kms_meta_storage_user_decryptions_in_store: 'User decryptions in the request store',
  kms_meta_storage_pub_decryptions_in_store: 'Public decryptions in the request store',
  kms_quorum_line_requests: 'Decryptions that stand in line before the engine of a threshold node',
};

/** Returns the published word for an error, the value of the label `error`. */
export function errorWord(error: unknown): string {
  return isKmsError(error) ? (ERROR_WORDS[ERROR_STATUS[error.code]] ?? 'other') : 'internal_error';
}

/** Registers the Core's metrics. `party_id` is `central` for a centralized node. */
export function openCoreMetrics(registry: MetricsRegistry, partyId = 'central'): CoreMetrics {
  const operations = new PlainCounter(registry, 'kms_operations_total', 'Operations by name', ['operation']);
  const errors = new PlainCounter(registry, 'kms_operation_errors_total', 'Failed operations by name and error', [
    'operation',
    'error',
  ]);
  const durations = new PlainHistogram(
    registry,
    'kms_operation_duration_ms',
    'Duration of operations in milliseconds',
    DURATION_BUCKETS_MS,
  );
  const sizes = new PlainHistogram(registry, 'kms_payload_size_bytes', 'Size of requests in bytes', SIZE_BUCKETS_BYTES);
  const durationCells = new Map<string, ReturnType<PlainHistogram['cell']>>();
  const sizeCells = new Map<Operation, ReturnType<PlainHistogram['cell']>>();

  return {
    operation: (name) => operations.add(name, () => ({ operation: name })),
    error: (name, error) => {
      const word = errorWord(error);
      errors.add(`${name}/${word}`, () => ({ operation: name, error: word }));
    },
    observeMs: (name, ms, tfheType) => {
      const key = tfheType === undefined ? name : `${name}/${tfheType}`;
      let cell = durationCells.get(key);
      if (!cell) {
        const type = tfheType === undefined ? {} : { tfhe_type: tfheType };
        cell = durations.cell({ operation_type: name, party_id: partyId, ...type });
        durationCells.set(key, cell);
      }
      cell.observe(ms);
    },
    payload: (name, sizeBytes) => {
      let cell = sizeCells.get(name);
      if (!cell) {
        cell = sizes.cell({ operation: name });
        sizeCells.set(name, cell);
      }
      cell.observe(sizeBytes);
    },
    gauge: (name, read) => {
      new PromGauge({
        name,
        help: GAUGE_HELP[name],
        registers: [registry],
        collect() {
          this.set(read());
        },
      });
    },
  };
}
