/**
 * Log lines and metrics: what an operator reads, and what must never stand there.
 */

import { Counter } from 'prom-client';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { createLogger, type LogLevel } from '../../../common/log.ts';
import { createRegistry, parseMetricsLabels } from '../../../common/metrics.ts';

function collect(level: LogLevel = 'info') {
  const lines: string[] = [];
  const log = createLogger({ name: 'core', level, destination: { write: (line) => void lines.push(line) } });
  return { log, lines, last: (): unknown => JSON.parse(lines.at(-1) ?? 'null') };
}

t.test('a line is one JSON object with level, time, process and facts', async (t) => {
  const { log, lines, last } = collect();
  log.info({ event: 'keygen.done', requestId: 'aa', ms: 3 });
  t.equal(lines.length, 1);
  t.ok(lines[0]?.endsWith('}\n'));
  t.match(last(), { level: 'info', name: 'core', pid: process.pid, event: 'keygen.done', requestId: 'aa', ms: 3 });
  t.match(last(), { time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/ });
});

t.test('lines below the level are not written', async (t) => {
  const { log, lines } = collect('warn');
  log.info({ event: 'x' });
  log.warn({ event: 'y' });
  t.equal(lines.length, 1);
});

t.test('fields that bear secrets are blotted out, wherever they stand in a line', async (t) => {
  const { log, lines } = collect();
  const secret = 'c0ffee';
  log.info({
    secretKey: secret,
    a: { privateKey: secret, b: { plaintext: secret } },
    shares: [secret],
    enc_key: secret,
  });
  log.child({ plaintexts: secret }).info({ event: 'x' });
  t.equal(lines.length, 2);
  t.notMatch(lines.join(), secret);
  t.match(lines[0], '[redacted]');
});

t.test('our own errors are written with code and facts, others without their message', async (t) => {
  const { log, last, lines } = collect();
  log.error({ err: new KmsError('NOT_FOUND', 'no such key', { keyId: 'aa', code: 'x' }, new Error('c0ffee')) });
  t.match(last(), { err: { type: 'KmsError', code: 'NOT_FOUND', message: 'no such key', keyId: 'aa' } });
  log.error({ err: Object.assign(new TypeError('bad value c0ffee'), { code: 'ERR_X' }) });
  t.match(last(), { err: { type: 'TypeError', code: 'ERR_X', at: /log\.test/ } });
  log.error(new TypeError('bad value c0ffee'));
  t.match(last(), { err: { type: 'TypeError' } });
  log.error({ err: 'c0ffee' });
  t.match(last(), { err: { type: 'string' } });
  t.notMatch(lines.join(), 'c0ffee');
});

t.test('stacks stand in debug logs only', async (t) => {
  const quiet = collect('info');
  quiet.log.error({ err: new KmsError('ABORTED', 'aborted') });
  t.notMatch(quiet.lines.join(), '"stack"');
  const loud = collect('debug');
  loud.log.error({ err: new KmsError('ABORTED', 'aborted') });
  t.match(loud.last(), { err: { stack: /log\.test/ } });
  loud.log.error({ err: new TypeError('a quoted\nrequest of c0ffee') });
  t.match(loud.last(), { err: { stack: /log\.test/ } });
  t.notMatch(loud.lines.join(), 'c0ffee', 'a foreign message stays out of the stack too');
});

t.test('metrics carry the constant labels', async (t) => {
  const registry = createRegistry(parseMetricsLabels('party=3, zone = eu'));
  new Counter({ name: 'kms_test_total', help: 'A test.', registers: [registry] }).inc();
  t.match(await registry.metrics(), 'kms_test_total{party="3",zone="eu"} 1');
  t.not(createRegistry(), createRegistry(), 'each process part may have its own');
});

t.test('constant labels that are no pairs are refused, all of them', async (t) => {
  t.same(parseMetricsLabels(undefined), {});
  t.same(parseMetricsLabels('a=b,,c=d=e,'), { a: 'b', c: 'd=e' });
  t.throws(() => parseMetricsLabels('a=1,b,=c,9x=1,__name__=x,a=2'), {
    code: 'CONFIG_INVALID',
    message: 'KMS_METRICS_LABELS needs name=value pairs, not: b, =c, 9x=1, __name__=x, a=2 (repeated)',
  });
});
