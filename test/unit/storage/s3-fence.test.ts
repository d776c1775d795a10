/**
 * Servers that do not keep to conditional writes: found out by the probe, refused, or taken for one writer.
 */
import t from 'tap';
import type { FaultHook } from '../../../emulators/s3/faults.ts';
import { startS3 } from '../../helpers/s3.ts';
import { bytes, contractTests } from './contract.ts';

const ignoring: FaultHook = () => ({ kind: 'unconditional' });

t.test('a server that overwrites is refused, whichever condition it ignores', async (t) => {
  for (const operation of ['PutObject', 'CompleteMultipartUpload']) {
    const s3 = await startS3(t);
    s3.fault = (point) => (point.operation === operation ? { kind: 'unconditional' } : undefined);
    await t.rejects(s3.open(), { code: 'PRECONDITION_FAILED', message: /overwrites on If-None-Match/ }, operation);
    t.same(s3.bucket.keys(), [], 'the probe leaves nothing');
    t.equal(s3.bucket.uploads.size, 0);
  }
});

t.test('a server that does not know conditions, or forgets, is refused', async (t) => {
  const s3 = await startS3(t);
  s3.fault = ({ operation, request }) =>
    operation === 'PutObject' && request !== 3 ? { kind: 'error', code: 'NotImplemented' } : undefined;
  await t.rejects(s3.open(), { code: 'PRECONDITION_FAILED', message: /does not know If-None-Match/ });
  s3.fault = ({ operation }) => (operation === 'PutObject' ? { kind: 'forget' } : undefined);
  await t.rejects(s3.open(), { code: 'PRECONDITION_FAILED' });
});

t.test('the probe is no lock: any number of servers may start at once', async (t) => {
  const s3 = await startS3(t);
  const vaults = await Promise.all(Array.from({ length: 6 }, () => s3.open()));
  t.ok(vaults.every(({ fenced }) => fenced));
  t.same(s3.bucket.keys(), []);
});

t.test('the probe forgives lost answers', async (t) => {
  const s3 = await startS3(t);
  for (let lost = 1; lost < 12; lost++) {
    let request = 0;
    s3.fault = () => (++request === lost ? { kind: 'lost-answer' } : undefined);
    t.equal((await s3.open()).fenced, true, `answer ${lost}`);
    t.same(s3.bucket.keys(), [], `answer ${lost}`);
  }
});

t.test('contract, on a server that ignores conditions, for one writer', async (t) =>
  contractTests(t, async (t) => {
    const s3 = await startS3(t);
    s3.fault = ignoring;
    const storage = await s3.open({ developer: { endpoint: s3.emulator.url, allowUnfenced: true } });
    t.equal(storage.fenced, false);
    return storage;
  }),
);

t.test('two writers overwrite each other there, which is why it is refused', async (t) => {
  const s3 = await startS3(t);
  s3.fault = ignoring;
  const options = { developer: { endpoint: s3.emulator.url, allowUnfenced: true } };
  const [one, two] = await Promise.all([s3.open(options), s3.open(options)]);
  const results = await Promise.all([
    one.swap(['H'], bytes('one'), undefined),
    two.swap(['H'], bytes('two'), undefined),
  ]);
  t.equal(results.length, 2, 'both believe that they won');
});
