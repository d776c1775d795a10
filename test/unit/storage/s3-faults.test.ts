/**
 * S3 that fails, lies, stalls and loses answers: right data or a named failure, and nothing half done is ever seen.
 */
import t from 'tap';
import type { Fault, FaultPoint } from '../../../emulators/s3/faults.ts';
import { startS3 } from '../../helpers/s3.ts';
import { bytes, chunks, PATH, readAll } from './contract.ts';

/** Commits a fault at the first `times` requests of an operation; counts all requests by operation. */
function at(operation: string, fault: Fault, times = 1) {
  const counts = new Map<string, number>();
  const hook = (point: FaultPoint): Fault | undefined => {
    const count = (counts.get(point.operation) ?? 0) + 1;
    counts.set(point.operation, count);
    return point.operation === operation && count <= times ? fault : undefined;
  };
  return { hook, count: (name: string) => counts.get(name) ?? 0 };
}

const PASSING: readonly Fault[] = [
  { kind: 'error', code: 'SlowDown' },
  { kind: 'error', code: 'InternalError' },
  { kind: 'error', code: 'ServiceUnavailable' },
  { kind: 'error', code: 'RequestTimeout' },
  { kind: 'reset' },
  { kind: 'lost-answer' },
];

t.test('what passes by itself is tried again, without anybody noticing', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open();
  for (const [i, fault] of PASSING.entries()) {
    const why = JSON.stringify(fault);
    const path = ['PublicKey', `k${i}`];
    s3.fault = at('PutObject', fault, 2).hook;
    t.match(await storage.put(path, bytes('hello')), /stored|already/, `put, ${why}`);
    s3.fault = at('HeadObject', fault, 2).hook;
    t.equal(await storage.size(path), 5, `head, ${why}`);
    s3.fault = at('GetObject', fault, 2).hook;
    t.same(await storage.get(path), bytes('hello'), `get, ${why}`);
    s3.fault = at('ListObjectsV2', fault, 2).hook;
    t.same(await storage.list(['PublicKey']), [`k${i}`], `list, ${why}`);
    s3.fault = at('DeleteObject', fault, 2).hook;
    t.equal(await storage.delete(path), true, `delete, ${why}`);
    s3.fault = undefined;
    t.equal(await storage.has(path), false, why);
  }
});

t.test('what does not pass is given up after so many attempts, and told', async (t) => {
  const s3 = await startS3(t);
  const pauses: number[] = [];
  const storage = await s3.open({ attempts: 4 }, { sleep: async (ms) => void pauses.push(ms) });
  const fault = at('PutObject', { kind: 'error', code: 'SlowDown' }, 1000);
  s3.fault = fault.hook;
  await t.rejects(storage.put(PATH, bytes('x')), {
    code: 'UNAVAILABLE',
    facts: { operation: 'PutObject', cause: 'SlowDown', status: 503, type: 'PublicKey' },
  });
  t.equal(fault.count('PutObject'), 4);
  t.equal(pauses.length, 3);
  for (const [i, ms] of pauses.entries()) t.ok(ms >= 0 && ms <= 100 * 2 ** i, `pause ${i} of ${ms} ms`);
});

t.test('a write whose answer is lost happens once', async (t) => {
  const s3 = await startS3(t);
  s3.bucket.versioning = 'Enabled';
  const storage = await s3.open();
  const lost: Fault = { kind: 'lost-answer' };
  const written = (name: string) => s3.bucket.versions(`PRIV/Head/${name}`).length;

  s3.fault = at('PutObject', lost).hook;
  t.equal(await storage.put(['Head', 'put'], bytes('one')), 'already');
  s3.fault = at('PutObject', lost).hook;
  const tag = await storage.swap(['Head', 'swap'], bytes('one'), undefined);
  t.same(await storage.getTagged(['Head', 'swap']), { content: bytes('one'), tag }, 'the loser of the answer has won');
  s3.fault = at('PutObject', lost, 2).hook;
  const moved = await storage.swap(['Head', 'swap'], bytes('two'), tag);
  t.same(await storage.getTagged(['Head', 'swap']), { content: bytes('two'), tag: moved });
  s3.fault = at('PutObject', lost).hook;
  t.equal(await storage.put(['Head', 'put'], bytes('two'), { replace: true }), 'stored');
  t.same([written('put'), written('swap')], [2, 2], 'no version but those that were meant');
});

t.test('a swap whose answer is lost, and that another overtakes, has lost', async (t) => {
  const s3 = await startS3(t);
  const other = await s3.open();
  let race = async (): Promise<unknown> => undefined;
  const storage = await s3.open({}, { sleep: async () => void (await race()) });
  const tag = await storage.swap(PATH, bytes('one'), undefined);
  race = () => other.swap(PATH, bytes('theirs'), tag);
  s3.fault = at('PutObject', { kind: 'reset' }).hook;
  await t.rejects(storage.swap(PATH, bytes('ours'), tag), { code: 'ABORTED' });
  t.same(await storage.get(PATH), bytes('theirs'));
});

t.test('a replacing write sees what it replaces, also after a pause', async (t) => {
  const s3 = await startS3(t);
  s3.bucket.versioning = 'Enabled';
  const other = await s3.open();
  let meanwhile = async (): Promise<unknown> => undefined;
  const storage = await s3.open({}, { sleep: async () => void (await meanwhile()) });
  await storage.put(PATH, bytes('one'));
  meanwhile = () => other.put(PATH, bytes('between'), { replace: true });
  s3.fault = at('PutObject', { kind: 'error', code: 'InternalError' }).hook;
  t.equal(await storage.put(PATH, bytes('last'), { replace: true }), 'stored');
  t.same(await storage.get(PATH), bytes('last'));
  t.equal(s3.bucket.versions('PRIV/PublicKey/aa').length, 3);
});

t.test('a large object goes up in parts, each tried again on its own', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open({ partBytes: 4096 });
  const content = Uint8Array.from({ length: 20_001 }, (_, i) => i * 13);
  for (const fault of [...PASSING, { kind: 'error', code: 'BadDigest' } as const]) {
    const parts = at('UploadPart', fault, 3);
    s3.fault = parts.hook;
    t.equal(
      await storage.put(PATH, chunks(content.subarray(0, 7), content.subarray(7))),
      'stored',
      JSON.stringify(fault),
    );
    t.equal(parts.count('UploadPart'), 5 + 3, 'five parts');
    s3.fault = undefined;
    t.equal(Buffer.compare(await storage.get(PATH), content), 0);
    t.equal(s3.bucket.current('PRIV/PublicKey/aa')?.data.checksum.type, 'FULL_OBJECT');
    await storage.delete(PATH);
  }
  for (const operation of ['CreateMultipartUpload', 'CompleteMultipartUpload']) {
    for (const fault of PASSING) {
      s3.fault = at(operation, fault).hook;
      t.match(await storage.put(PATH, content), /stored|already/, `${operation} ${JSON.stringify(fault)}`);
      t.equal(Buffer.compare(await storage.get(PATH), content), 0);
      s3.fault = at(operation, fault).hook;
      t.equal(await storage.put(PATH, content.slice(1), { replace: true }), 'stored', `replace, ${operation}`);
      t.equal(Buffer.compare(await storage.get(PATH), content.subarray(1)), 0);
      await storage.delete(PATH);
    }
  }
});

t.test('an upload that fails is not seen and leaves no parts', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open({ partBytes: 4096 });
  const content = new Uint8Array(20_000);
  for (const operation of ['UploadPart', 'CompleteMultipartUpload']) {
    s3.fault = at(operation, { kind: 'error', code: 'AccessDenied' }, 1000).hook;
    await t.rejects(storage.put(PATH, content), { code: 'PERMISSION_DENIED', facts: { operation } });
    s3.fault = undefined;
    t.equal(await storage.has(PATH), false, operation);
    t.equal(s3.bucket.uploads.size, 0, operation);
  }
  const broken = async function* () {
    yield content;
    throw new RangeError('source broke');
  };
  await t.rejects(storage.put(PATH, broken()), { message: 'source broke' });
  const controller = new AbortController();
  const silent = async function* () {
    yield content;
    controller.abort();
    await new Promise(() => undefined);
  };
  await t.rejects(storage.put(PATH, silent(), { signal: controller.signal }), { code: 'CANCELLED' });
  t.equal(s3.bucket.uploads.size, 0);
});

t.test('parts go up a few at a time, and no more of the source is read', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open({ partBytes: 4096, timeoutMs: 100, bodyTimeoutMs: 100, attempts: 1 });
  let pulled = 0;
  const source = async function* () {
    for (let i = 0; i < 1000; i++) {
      pulled++;
      yield new Uint8Array(4096);
    }
  };
  s3.fault = at('UploadPart', { kind: 'hang' }, 1000).hook;
  await t.rejects(storage.put(PATH, source()), { code: 'UNAVAILABLE', facts: { cause: 'TimedOut' } });
  t.ok(pulled <= 5, `${pulled} parts were pulled while none went up`);
});

t.test('a reader goes on where the connection broke, and stops at damage', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open({ bodyTimeoutMs: 1_500 });
  const content = Uint8Array.from({ length: 300_000 }, (_, i) => i * 17);
  await storage.put(PATH, content);
  const reads: readonly Fault[] = [
    { kind: 'cut', afterBytes: 0 },
    { kind: 'cut', afterBytes: 70_000 },
    { kind: 'stall', afterBytes: 0 },
    { kind: 'stall', afterBytes: 100_000 },
  ];
  for (const fault of reads) {
    const gets = at('GetObject', fault, 2);
    s3.fault = gets.hook;
    t.equal(Buffer.compare(await storage.get(PATH), content), 0, JSON.stringify(fault));
    t.equal(gets.count('GetObject'), 3);
    s3.fault = at('GetObject', fault, 1).hook;
    const { stream } = await storage.open(PATH, { offset: 10, length: 250_000 });
    t.equal(Buffer.compare(await readAll(stream), content.subarray(10, 250_010)), 0, 'and of a part');
  }
  s3.fault = at('GetObject', { kind: 'cut', afterBytes: 1000 }, 1000).hook;
  await t.rejects(storage.get(PATH), { code: 'UNAVAILABLE' }, 'a server that never gets further is given up');
  s3.fault = at('GetObject', { kind: 'corrupt', offset: 299_999 }, 1000).hook;
  await t.rejects(storage.get(PATH), { code: 'STATE_INVALID', message: /checksum/ });
});

t.test('what came damaged is not taken for other content', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open();
  const content = new Uint8Array(300_000).fill(7);
  await storage.put(PATH, content);
  s3.fault = at('GetObject', { kind: 'corrupt', offset: 3 }, 1).hook;
  t.equal(await storage.put(PATH, content), 'already', 'what passes by itself is read again');
  s3.fault = at('GetObject', { kind: 'corrupt', offset: 3 }, 1000).hook;
  await t.rejects(storage.put(PATH, content), { code: 'STATE_INVALID', message: /checksum/ });
  s3.fault = undefined;
  await t.rejects(storage.put(PATH, content.subarray(1)), { code: 'ALREADY_EXISTS' });
});

t.test('an object that is replaced while it is read is not mixed with what it was', async (t) => {
  const s3 = await startS3(t);
  const storage = await s3.open();
  await storage.put(PATH, new Uint8Array(100_000).fill(1));
  const { stream } = await storage.open(PATH);
  await storage.put(PATH, new Uint8Array(100_000).fill(2), { replace: true });
  await t.rejects(readAll(stream), { code: 'ABORTED' });
  const again = await storage.open(PATH);
  await storage.delete(PATH);
  await t.rejects(readAll(again.stream), { code: 'ABORTED' });

  await storage.put(PATH, bytes('one'));
  s3.fault = (point) => {
    if (point.operation !== 'GetObject') return undefined;
    s3.fault = undefined;
    const [key] = s3.bucket.keys();
    const data = s3.bucket.current(key ?? '')?.data;
    const other = Buffer.from('two');
    if (key && data) {
      const none = { ifMatch: undefined, ifNoneMatch: undefined };
      s3.bucket.put(
        key,
        { ...data, content: other, etag: 'other', checksum: { ...data.checksum, value: 'GQuS7g==' } },
        none,
        {
          id: 'x',
          nowMs: 0,
        },
      );
    }
    return undefined;
  };
  await t.rejects(storage.get(PATH), { code: 'STATE_INVALID' }, 'looked at again; here the checksum does not fit');
});

t.test('a stale answer to one question is not taken for the answer to another', async (t) => {
  const s3 = await startS3(t);
  s3.bucket.versioning = 'Enabled';
  const storage = await s3.open();
  const first = await storage.swap(PATH, bytes('one'), undefined);
  await storage.swap(PATH, bytes('two'), first);
  s3.fault = (point) => (point.operation === 'HeadObject' ? { kind: 'stale' } : undefined);
  await t.rejects(storage.get(PATH), { code: 'ABORTED' }, 'HEAD and GET do not agree');
  s3.fault = (point) => (/Head|Get/.test(point.operation) ? { kind: 'stale' } : undefined);
  const old = await storage.getTagged(PATH);
  t.same(old, { content: bytes('one'), tag: first }, 'one that is stale throughout cannot be told');
  await t.rejects(storage.swap(PATH, bytes('three'), old.tag), { code: 'ABORTED' }, 'but cannot be built upon');
});
