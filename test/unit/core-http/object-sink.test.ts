/** Objects on their way into public storage: whole and right, or not at all. */
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import { openDigestCache } from '../../../parent/core/objects/digest-cache.ts';
import { openGenerationSink } from '../../../parent/core/objects/object-sink.ts';
import { startPublicDigest } from '../../../parent/core/objects/public-digest.ts';
import { PublicObjects } from '../../../parent/core/objects/public-objects.ts';
import { promoteStaged, stagedGenerations } from '../../../parent/core/objects/staged-objects.ts';
import { openVaultStorage } from '../../../storage/open-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const ID = 'ab'.repeat(32);
const GENERATION = 'ef'.repeat(32);
const BYTES = randomBytes(1_500_000);
const HEAD = { type: 'PublicKey', id: ID, sizeBytes: BYTES.byteLength, replace: false };
const DIGEST = startPublicDigest('PublicKey').update(BYTES).digest();

async function start(t: Test) {
  const root = tempDir(t);
  const vault = { file: { path: root, prefix: 'PUB' } };
  const { storage, stamp } = await openVaultStorage(vault, { aws: undefined, folderMode: 0o755, log });
  const cache = openDigestCache(join(root, 'digests.sqlite'));
  t.teardown(() => cache.close());
  const objects = new PublicObjects({ storage, cache, fingerprint: (type, id) => stamp([type, id]) });
  const files = async () =>
    (await readdir(join(root, 'PUB'), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name);
  return { root, stamp, storage, cache, objects, sink: openGenerationSink(storage, objects, ID), files };
}

async function send(sink: ReturnType<typeof openGenerationSink>, head = HEAD, bytes = BYTES, digest = DIGEST) {
  const writer = await sink.start(head);
  for (let at = 0; at < bytes.byteLength; at += 400_000) await writer.write(bytes.subarray(at, at + 400_000));
  await writer.end(digest);
}

t.test('stores an object and remembers its digest without reading it again', async (t) => {
  const { sink, storage, cache, objects, stamp } = await start(t);
  await send(sink);
  t.ok(BYTES.equals(await storage.get(['PublicKey', ID])));
  const fingerprint = await stamp(['PublicKey', ID]);
  t.equal(cache.get('PublicKey', ID, fingerprint ?? ''), Buffer.from(DIGEST).toString('hex'));
  t.equal((await objects.find('PublicKey', ID))?.digest, Buffer.from(DIGEST).toString('hex'));
});

t.test('an empty object is an object too', async (t) => {
  const { sink, storage } = await start(t);
  const digest = startPublicDigest('PublicKey').digest();
  await send(sink, { ...HEAD, sizeBytes: 0 }, Buffer.alloc(0), digest);
  t.equal(await storage.size(['PublicKey', ID]), 0);
});

t.test('leaves nothing of an object that is not what was announced', async (t) => {
  const { sink, files } = await start(t);
  const cases = [
    ['other digest', HEAD, new Uint8Array(32)],
    ['digest cut', HEAD, DIGEST.subarray(0, 31)],
    ['shorter', { ...HEAD, sizeBytes: BYTES.byteLength + 1 }, DIGEST],
    ['longer', { ...HEAD, sizeBytes: BYTES.byteLength - 1 }, DIGEST],
  ] as const;
  for (const [why, head, digest] of cases) {
    await t.rejects(send(sink, head, BYTES, digest), { code: 'ABORTED' }, why);
    t.strictSame(await files(), [], why);
  }
});

t.test('takes no object whose name is not that of a public one', async (t) => {
  const { sink } = await start(t);
  for (const [type, id] of [
    ['FhePrivateKey', ID],
    ['..', ID],
    ['PublicKey', '../x'],
    ['PublicKey', 'AB'.repeat(32)],
  ]) {
    await t.rejects(sink.start({ ...HEAD, type: type ?? '', id: id ?? '' }), { code: 'REQUEST_INVALID' }, String(type));
  }
});

t.test('an abandoned object leaves nothing', async (t) => {
  const { sink, files } = await start(t);
  const writer = await sink.start(HEAD);
  await writer.write(BYTES.subarray(0, 100_000));
  await writer.abort();
  t.strictSame(await files(), []);
});

t.test('never takes the place of other content, unless the engine says so and has committed', async (t) => {
  const { sink, storage, objects, files } = await start(t);
  const other = Buffer.from('other');
  await storage.put(['PublicKey', ID], other);
  await t.rejects(send(sink), { code: 'ALREADY_EXISTS' });
  const replacing = { ...HEAD, replace: true };
  const later = openGenerationSink(storage, objects, GENERATION);
  await t.rejects(send(later), { code: 'ALREADY_EXISTS' }, 'nor a later generation');
  await send(later, replacing);
  t.ok(other.equals(await storage.get(['PublicKey', ID])), 'not yet');
  await later.discard();
  t.strictSame(await files(), [ID], 'a failed generation leaves the old one alone');
  await send(later, replacing);
  t.strictSame(await stagedGenerations(storage), [GENERATION], 'waits, also for another process');
  await promoteStaged(storage, objects, GENERATION);
  t.ok(BYTES.equals(await storage.get(['PublicKey', ID])), 'replaced');
  t.equal((await objects.find('PublicKey', ID))?.digest, Buffer.from(DIGEST).toString('hex'));
  t.strictSame(await files(), [ID], 'nothing waits any more');
  await promoteStaged(storage, objects, GENERATION);
  t.ok(BYTES.equals(await storage.get(['PublicKey', ID])), 'twice is as good as once');
});

t.test('taking a failed generation back removes its own objects and no others', async (t) => {
  const { sink, storage, root } = await start(t);
  const names = async () => (await Promise.all(['PublicKey', 'CRS'].map((type) => storage.list([type])))).flat();
  await storage.put(['PublicKey', ID], BYTES);
  await send(sink);
  await send(sink, { ...HEAD, type: 'CRS' }, BYTES, startPublicDigest('CRS').update(BYTES).digest());
  t.strictSame(await names(), [ID, ID]);
  await sink.discard();
  t.strictSame(await storage.list(['PublicKey']), [ID], 'what was there before stays');
  t.strictSame(await readdir(join(root, 'PUB', 'CRS')), []);
});

t.test('a full disk fails the object by name', async (t) => {
  const { objects } = await start(t);
  const full: Pick<Storage, 'put' | 'has'> = {
    put: async (_path, source) => {
      if (source instanceof Uint8Array) return 'stored';
      for await (const chunk of source) if (chunk.byteLength > 0) break;
      throw new KmsError('STORAGE_FULL', 'no space left');
    },
    has: async () => false,
  };
  const { storage } = await start(t);
  const sink = openGenerationSink({ ...storage, ...full }, objects, ID);
  await t.rejects(send(sink), { code: 'STORAGE_FULL' });
});
