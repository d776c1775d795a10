/** The Core's metrics: published names, buckets and words, cheap to count. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { createRegistry } from '../../../common/metrics.ts';
import { OPERATIONS } from '../../../parent/core/metrics/core-metrics.ts';
import { errorWord, openCoreMetrics } from '../../../parent/core/metrics/open-core-metrics.ts';
import { registerProcessMetrics } from '../../../parent/core/metrics/process-metrics.ts';

t.test('counts operations and errors under the published names', async (t) => {
  const registry = createRegistry({ zone: 'eu' });
  const metrics = openCoreMetrics(registry);
  metrics.operation('public_decrypt_request');
  metrics.operation('public_decrypt_request');
  metrics.error('public_decrypt_request', new KmsError('NOT_FOUND', 'no such key'));
  const text = await registry.metrics();
  t.match(text, 'kms_operations_total{operation="public_decrypt_request",zone="eu"} 2');
  t.match(text, 'kms_operation_errors_total{operation="public_decrypt_request",error="not_found",zone="eu"} 1');
});

t.test('counting goes on after a scrape', async (t) => {
  const registry = createRegistry();
  const metrics = openCoreMetrics(registry);
  metrics.operation('keygen_request');
  await registry.metrics();
  metrics.operation('keygen_request');
  t.match(await registry.metrics(), 'kms_operations_total{operation="keygen_request"} 2');
});

t.test('histograms are cumulative, with bounds that include their own value', async (t) => {
  const registry = createRegistry();
  const metrics = openCoreMetrics(registry);
  for (const ms of [0.5, 1, 1.5, 300_000, 300_001]) metrics.observeMs('public_decrypt_inner', ms, 'euint64');
  metrics.payload('public_decrypt_request', 99_000);
  const lines = (await registry.metrics()).split('\n');
  const labels = 'operation_type="public_decrypt_inner",party_id="central",tfhe_type="euint64"';
  t.ok(lines.includes(`kms_operation_duration_ms_bucket{le="1",${labels}} 2`), 'up to 1 ms');
  t.ok(lines.includes(`kms_operation_duration_ms_bucket{le="5",${labels}} 3`), 'up to 5 ms');
  t.ok(lines.includes(`kms_operation_duration_ms_bucket{le="300000",${labels}} 4`), 'up to 5 minutes');
  t.ok(lines.includes(`kms_operation_duration_ms_bucket{le="+Inf",${labels}} 5`), 'all');
  t.ok(lines.includes(`kms_operation_duration_ms_count{${labels}} 5`), 'count');
  t.ok(lines.includes(`kms_operation_duration_ms_sum{${labels}} 600004`), 'sum');
  t.ok(lines.includes('kms_payload_size_bytes_bucket{le="65536",operation="public_decrypt_request"} 0'), '64 KiB');
  t.ok(lines.includes('kms_payload_size_bytes_bucket{le="262144",operation="public_decrypt_request"} 1'), '256 KiB');
  t.equal((await registry.getMetricsAsJSON()).length > 0, true, 'JSON form works too');
});

t.test('an operation without a type has no type label', async (t) => {
  const registry = createRegistry();
  openCoreMetrics(registry).observeMs('keygen_result', 3);
  const lines = (await registry.metrics()).split('\n');
  t.ok(lines.includes('kms_operation_duration_ms_count{operation_type="keygen_result",party_id="central"} 1'));
});

t.test('error words are the published ones', async (t) => {
  const words = [
    ['REQUEST_INVALID', 'invalid_argument'],
    ['CIPHERTEXT_INVALID', 'invalid_argument'],
    ['RESOURCE_EXHAUSTED', 'resource_exhausted'],
    ['CANCELLED', 'cancelled'],
    ['ABORTED', 'aborted'],
    ['ALREADY_EXISTS', 'already_exists'],
    ['PRECONDITION_FAILED', 'failed_precondition'],
    ['TASK_FAILED', 'internal_error'],
    ['UNAVAILABLE', 'unavailable'],
    ['UNIMPLEMENTED', 'other'],
  ] as const;
  for (const [code, word] of words) t.equal(errorWord(new KmsError(code, 'x')), word, code);
  t.equal(errorWord(new TypeError('a bug')), 'internal_error', 'a bug');
});

t.test('gauges are read when scraped, not before', async (t) => {
  const registry = createRegistry();
  let reads = 0;
  openCoreMetrics(registry).gauge('kms_tasks', () => {
    reads += 1;
    return 7;
  });
  t.equal(reads, 0);
  t.match(await registry.metrics(), 'kms_tasks 7');
  t.equal(reads, 1);
});

t.test('process gauges carry numbers and the version', async (t) => {
  const registry = createRegistry();
  registerProcessMetrics(registry, '1.2.3');
  const text = await registry.metrics();
  t.match(text, 'kms_version{version="1.2.3"} 1');
  t.match(text, /kms_process_memory_usage [1-9]\d+/);
  t.match(text, /kms_total_cpus [1-9]/);
  t.notMatch(text, /Nan/);
});

t.test('no operation is listed twice', async (t) => {
  t.equal(new Set(OPERATIONS).size, OPERATIONS.length);
});
