/** Generations that are aborted, queued, or meet a full disk or a lost link: nothing half-made is left behind. */
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { KeyGenResultSchema } from '../../../proto/gen/kms_pb.js';
import type { Storage } from '../../../storage/storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import type { EngineTestLink, ReceivedObject } from '../../helpers/engine-link.ts';
import { idOf } from '../../helpers/requests.ts';
import { describe, keyGenCall, testEngine } from '../../helpers/test-engine.ts';

const idMessage = (n: number) => ({ requestId: { requestId: idOf(n) } });

async function generate(link: EngineTestLink, overrides: Parameters<typeof keyGenCall>[0] = {}) {
  return fromBinary(KeyGenResultSchema, await link.call(ENGINE_METHOD.keyGen, keyGenCall(overrides)));
}

/** What a vault without keys holds. */
const OF_THE_NODE = ['CACert', 'Governance', 'Incarnation', 'SigningKey'];

t.test('an aborted generation answers at once, makes nothing, and the next one waits its turn', async (t) => {
  const { link: open, storage } = await testEngine(t);
  const link = await open();
  const abort = new AbortController();
  const first = link.call(ENGINE_METHOD.keyGen, keyGenCall(idMessage(10)), {
    signal: abort.signal,
    onProgress: () => abort.abort(),
  });
  const phases: string[] = [];
  const second = link.call(ENGINE_METHOD.keyGen, keyGenCall(idMessage(11)), {
    onProgress: ({ phase }) => phases.push(phase),
  });
  await t.rejects(first, { code: 'ABORTED' });
  t.equal(fromBinary(KeyGenResultSchema, await second).requestId?.requestId, idOf(11));
  t.equal(phases[0], 'queued');
  t.same([...new Set(link.objects.map(({ id }) => id))], [idOf(11)], 'nothing of the aborted one was streamed');
  t.same(await storage.list(['FhePrivateKey', DEFAULT_EPOCH_ID]), [idOf(11)]);
  await t.resolves(generate(link, idMessage(10)), 'its id is free in the engine');
});

t.test('a generation that waits can be aborted, and two of one id make one key', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  const abort = new AbortController();
  const first = generate(link, idMessage(10));
  const second = generate(link, idMessage(10));
  const third = link.call(ENGINE_METHOD.keyGen, keyGenCall(idMessage(12)), {
    signal: abort.signal,
    onProgress: ({ phase }) => phase === 'queued' && abort.abort(),
  });
  await t.rejects(third, { code: 'ABORTED' });
  t.equal((await first).requestId?.requestId, idOf(10));
  await t.rejects(second, { code: 'ALREADY_EXISTS' });
});

t.test('an abort while objects are streamed makes nothing', async (t) => {
  const { link: open, storage } = await testEngine(t);
  const link = await open();
  const abort = new AbortController();
  const stored = Promise.withResolvers<void>();
  const call = link.call(ENGINE_METHOD.keyGen, keyGenCall(), {
    signal: abort.signal,
    onObject: () => {
      abort.abort();
      return stored.promise;
    },
  });
  await t.rejects(call, { code: 'ABORTED' });
  stored.resolve();
  await generate(link, idMessage(11));
  t.same(await storage.list(['FhePrivateKey', DEFAULT_EPOCH_ID]), [idOf(11)]);
});

t.test('an object that the Core cannot store fails the generation with its reason', async (t) => {
  const { link: open, storage } = await testEngine(t);
  const link = await open();
  let objects = 0;
  const refuse = (_: ReceivedObject) => {
    objects += 1;
    if (objects === 2) throw new KmsError('STORAGE_FULL', 'no space left in the public vault');
  };
  const call = link.call(ENGINE_METHOD.keyGen, keyGenCall(), { onObject: refuse });
  await t.rejects(call, { code: 'STORAGE_FULL', message: 'no space left in the public vault' });
  t.same(await storage.list([]), OF_THE_NODE, 'no private object');
  t.same((await describe(link)).keys, []);
});

t.test('a full private vault fails the generation and leaves nothing half-written', async (t) => {
  const { storage, stop, folder } = await testEngine(t);
  await stop();
  const full = new KmsError('STORAGE_FULL', 'no space left on the device');
  const failing: Storage = {
    fenced: storage.fenced,
    // A start counts itself and keeps what it knows of governance; of keys nothing gets in any more.
    put: (path, ...rest) => (path[0] === 'FhePrivateKey' ? Promise.reject(full) : storage.put(path, ...rest)),
    get: (path) => storage.get(path),
    getTagged: (path) => storage.getTagged(path),
    swap: (...args) => storage.swap(...args),
    open: (path, range) => storage.open(path, range),
    has: (path) => storage.has(path),
    size: (path) => storage.size(path),
    list: (path) => storage.list(path),
    delete: (path) => storage.delete(path),
  };
  const { link: open } = await testEngine(t, { folder, storage: failing });
  const link = await open();
  await t.rejects(generate(link), { code: 'STORAGE_FULL' });
  t.same((await describe(link)).keys, []);
  t.same(await storage.list([]), OF_THE_NODE);
});

t.test('a lost link aborts its generation, another link goes on', async (t) => {
  const { link: open, storage } = await testEngine(t);
  const [lost, other] = [await open(), await open()];
  const call = lost.call(ENGINE_METHOD.keyGen, keyGenCall(idMessage(10)), { onProgress: () => lost.close() });
  await t.rejects(call, { code: 'UNAVAILABLE' });
  await generate(other, idMessage(11));
  t.same(await storage.list(['FhePrivateKey', DEFAULT_EPOCH_ID]), [idOf(11)]);
});
