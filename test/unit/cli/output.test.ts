import t from 'tap';
import { z } from 'zod';
import { KmsError } from '../../../common/errors.ts';
import { describeFailure, exitCodeOf, failure, usageFailure } from '../../../parent/cli/framework/failure.ts';
import { createOutput, toJson } from '../../../parent/cli/framework/output.ts';
import { formatMs } from '../../../parent/cli/framework/progress.ts';

function sink(isTTY = false) {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => written.push(text), text: () => written.join('') };
}

t.test('with --json standard output carries one JSON object and all else goes to standard error', async (t) => {
  const [stdout, stderr] = [sink(), sink()];
  const output = createOutput({ json: true, stdout, stderr });
  output.note('hello');
  output.warn('careful');
  output.progress('step').done('fine');
  output.result({ big: 2n ** 64n, bytes: Uint8Array.of(1, 255) }, 'unused');
  t.equal(stdout.text(), '{"big":"18446744073709551616","bytes":"01ff"}\n');
  t.match(stderr.text(), /^hello\nwarning: careful\n✓ step: fine \(\d+ ms\)\n$/);
});

t.test('a failure is an object under --json, and names cause and cure for people', async (t) => {
  const [stdout, stderr] = [sink(), sink()];
  const error = failure('NOT_FOUND', 'no such key', 'list them', {}, new Error('disk', { cause: new Error('fire') }));
  createOutput({ json: true, stdout, stderr }).failure(error);
  const report = { code: 'NOT_FOUND', message: 'no such key', causes: ['disk', 'fire'], cure: 'list them' };
  t.same(JSON.parse(stdout.text()), { error: report });
  t.equal(stderr.text(), 'error: no such key\n  cause: disk\n  cause: fire\n  cure: list them\n');
});

t.test('further lines of a cause stand below its first, for people alone', async (t) => {
  const [stdout, stderr] = [sink(), sink()];
  const error = failure('ABORTED', 'too few', 'look', {}, new Error('party 1 is down\nparty 2 failed'));
  createOutput({ json: true, stdout, stderr }).failure(error);
  t.equal(stderr.text(), 'error: too few\n  cause: party 1 is down\n         party 2 failed\n  cure: look\n');
  t.match(JSON.parse(stdout.text()), { error: { causes: ['party 1 is down\nparty 2 failed'] } });
});

t.test('a cause that a schema found is one line', async (t) => {
  const { error } = z.object({ keyId: z.string(), list: z.array(z.int()) }).safeParse({ list: ['x'] });
  t.same(describeFailure(failure('REQUEST_INVALID', 'no ciphertext file', 'give another', {}, error)).causes, [
    'keyId: Invalid input: expected string, received undefined; list: 0: Invalid input: expected number, received string',
  ]);
});

t.test('a failure after a result does not write a second object', async (t) => {
  const stdout = sink();
  const output = createOutput({ json: true, stdout, stderr: sink() });
  output.result({ verified: false }, '');
  output.failure(new KmsError('INTERNAL', 'late'));
  t.equal(stdout.text(), '{"verified":false}\n');
});

t.test('wrong usage exits with 2, any other failure with 1', async (t) => {
  t.equal(exitCodeOf(usageFailure('no', 'yes')), 2);
  t.equal(exitCodeOf(failure('NOT_FOUND', 'no', 'yes')), 1);
  t.equal(exitCodeOf(new Error('bug')), 1);
  t.match(describeFailure('text'), { code: 'INTERNAL', message: 'text', causes: [] });
});

t.test('progress draws a bar on a terminal and ends with a plain line', async (t) => {
  const stderr = sink(true);
  const progress = createOutput({ json: false, stdout: sink(), stderr }).progress('fetch');
  progress.update(0.5, '1 of 2');
  progress.estimate(10);
  progress.done();
  progress.failed();
  t.match(stderr.text(), /\[={14} {14}\] 50 % 1 of 2/);
  t.match(stderr.written.at(-1) ?? '', /✓ fetch \(\d+ ms\)\n$/, 'nothing follows the end');
  const plain = sink();
  const lines = createOutput({ json: false, stdout: sink(), stderr: plain }).progress('fetch');
  lines.update(0.5);
  lines.failed();
  t.match(plain.text(), /^✗ fetch \(after \d+ ms\)\n$/, 'elsewhere only the end is a line');
});

t.test('durations are milliseconds below a second', async (t) => {
  t.equal(formatMs(12.4), '12 ms');
  t.equal(formatMs(1234), '1.23 s');
  t.equal(toJson({ a: 1 }), '{"a":1}');
});
