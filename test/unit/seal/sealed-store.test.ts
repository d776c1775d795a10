/** Sealed objects under a manifest, in files that somebody else owns: the writing that counts, or a named refusal. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { ManifestHead } from '../../../enclave/seal/manifest-head.ts';
import { SealedStore, type StoredObject } from '../../../enclave/seal/sealed-store.ts';
import { openFileStorage } from '../../../storage/file-storage.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { writerOf } from './manifest-scene.ts';
import { CLAIMS, faultsOf, fixedRandom, fixedSealer, pieces } from './seal-scene.ts';

const { version: _, ...KEY } = CLAIMS;
const OTHER: StoredObject = { ...KEY, name: `FheKeyInfo/${KEY.epochId}/${'dd'.repeat(32)}`, keyId: 'dd'.repeat(32) };
const content = (seed: number): Uint8Array => fixedRandom(seed)(70_000);

let seeds = 0;

/** One server of the party over a folder. */
async function server(root: string, incarnation = 1) {
  const storage = await openFileStorage({ root, prefix: 'PRIV', folderMode: 0o700 });
  const head = await ManifestHead.open(writerOf(storage, { incarnation }));
  const leftovers: unknown[] = [];
  const onLeftover = (path: unknown) => leftovers.push(path);
  const parts = { storage, head, sealer: fixedSealer(++seeds), onLeftover };
  const store = new SealedStore(parts);
  return { store, head, storage, parts, leftovers };
}

async function write(store: SealedStore, seed: number, object = KEY): Promise<void> {
  await store.put(object, pieces(content(seed), 9000), { sizeBytes: 70_000 });
}

/** Returns the seed of the content that is there. */
async function seedOf(store: SealedStore, object = KEY): Promise<number | undefined> {
  const read = await store.read(object, async (walk) => {
    const parts: Buffer[] = [];
    for await (const piece of walk) parts.push(Buffer.from(piece));
    return Buffer.concat(parts);
  });
  return [1, 2, 3, 4].find((seed) => read.equals(content(seed)));
}

/** Returns the one file in which an object lies. */
function fileOf(root: string, object = KEY): string {
  const folder = join(root, 'PRIV', object.name);
  const [file, ...more] = readdirSync(folder);
  if (file === undefined || more.length > 0) throw new Error(`${more.length + 1} files`);
  return join(folder, file);
}

function scene(t: Teardown): string {
  return tempDir(t);
}

t.test('what was written is read, by this start and the next; a later writing takes its place', async (t) => {
  const root = scene(t);
  const { store, head } = await server(root);
  t.notOk(store.has(KEY.name));
  await write(store, 1);
  await write(store, 2, OTHER);
  t.same([await seedOf(store), await seedOf(store, OTHER)], [1, 2]);
  await write(store, 3);
  t.equal(head.entry(KEY.name)?.version, 2);
  const next = await server(root, 2);
  t.same([await seedOf(next.store), await seedOf(next.store, OTHER)], [3, 2]);
  t.ok(existsSync(fileOf(root)), 'one file is left of two writings');
  t.equal(readFileSync(fileOf(root)).indexOf(content(3).subarray(0, 16)), -1, 'nothing lies in clear');
});

t.test('what was removed is gone, and does not come back', async (t) => {
  const root = scene(t);
  const { store } = await server(root);
  await write(store, 1);
  const file = fileOf(root);
  const bytes = readFileSync(file);
  await store.delete(KEY.name);
  t.notOk(store.has(KEY.name));
  await t.rejects(seedOf(store), { code: 'NOT_FOUND' });
  await t.rejects(store.delete(KEY.name), { code: 'NOT_FOUND' });
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, bytes);
  const next = await server(root, 2);
  await t.rejects(seedOf(next.store), { code: 'NOT_FOUND' }, 'though its file is back');
  await write(next.store, 2);
  t.equal(await seedOf(next.store), 2);
});

t.test('whatever is done to the files: the writing that counts, or a named refusal', async (t) => {
  const cases: readonly (readonly [string, (file: string, other: string, old: Buffer) => void])[] = [
    ['rolled-back', (file, _other, old) => writeFileSync(file, old)],
    ['other-name,other-key,rolled-back', (file, other) => cpSync(other, file)],
    ['cut', (file) => truncateSync(file, 5000)],
    ['cut', (file) => truncateSync(file, 0)],
    ['extended', (file) => writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(1)]))],
    ['not-sealed', (file) => writeFileSync(file, Buffer.alloc(5000))],
  ];
  for (const [fault, harm] of cases) {
    const root = scene(t);
    const { store } = await server(root);
    await write(store, 1);
    const old = readFileSync(fileOf(root));
    await write(store, 2);
    await write(store, 3, OTHER);
    harm(fileOf(root), fileOf(root, OTHER), old);
    const next = await server(root, 2);
    t.equal(await faultsOf(seedOf(next.store)), fault, fault);
    t.equal(await seedOf(next.store, OTHER), 3, 'the other one is not touched');
    rmSync(fileOf(root));
    await t.rejects(seedOf(next.store), { code: 'NOT_FOUND' }, 'deleted');
  }
});

t.test(
  'another writing of the same version, by a server that lost, is not taken for the one that counts',
  async (t) => {
    const root = scene(t);
    const [winner, loser] = [await server(root), await server(root)];
    await write(winner.store, 1);
    await t.rejects(write(loser.store, 2), { code: 'ABORTED', message: /stops writing/ });
    t.equal(await seedOf(winner.store), 1, 'the loser overwrote nothing');
    const folder = join(root, 'PRIV', KEY.name);
    const place = winner.head.entry(KEY.name)?.writing?.place ?? '';
    const left = readdirSync(folder).filter((name) => name !== place);
    t.equal(left.length, 1);
    cpSync(join(folder, left[0] ?? ''), join(folder, place));
    t.equal(await faultsOf(seedOf(winner.store)), 'other-writing', 'nor does its file in the right place pass');
    await t.rejects(loser.store.delete(KEY.name), { code: 'NOT_FOUND' });
  },
);

t.test('a crash before the manifest moved leaves the old writing, one after it the new', async (t) => {
  const root = scene(t);
  const first = await server(root);
  await write(first.store, 1);
  const crash = new KmsError('UNAVAILABLE', 'the power went');
  const dying = { ...first.parts, head: { ...facesOf(first.head), advance: () => Promise.reject(crash) } };
  await t.rejects(write(new SealedStore(dying), 2), { message: 'the power went' });
  t.equal(await seedOf((await server(root, 2)).store), 1);

  const second = await server(root, 3);
  const failing = {
    ...second.storage,
    delete: () => Promise.reject(crash),
    put: second.storage.put.bind(second.storage),
    list: second.storage.list.bind(second.storage),
  };
  const open = second.storage.open.bind(second.storage);
  await write(new SealedStore({ ...second.parts, storage: { ...failing, open } }), 3);
  t.equal(second.leftovers.length, 2, 'what could not be removed is told: the writing before, and what the crash left');
  t.equal(await seedOf((await server(root, 4)).store), 3);
});

t.test('what crashes have left goes with the next writing, but nothing that a later manifest could name', async (t) => {
  const root = scene(t);
  const first = await server(root);
  const crash = new KmsError('UNAVAILABLE', 'the power went');
  const dying = { ...first.parts, head: { ...facesOf(first.head), advance: () => Promise.reject(crash) } };
  for (const seed of [1, 2]) await t.rejects(write(new SealedStore(dying), seed), { message: 'the power went' });
  const folder = join(root, 'PRIV', KEY.name);
  t.equal(readdirSync(folder).length, 2);
  const later = `2-${'ab'.repeat(8)}`;
  for (const name of [later, 'notes', '1-short']) writeFileSync(join(folder, name), 'of somebody else');
  const { store, head } = await server(root, 2);
  await write(store, 3);
  const place = head.entry(KEY.name)?.writing?.place ?? '';
  t.same(readdirSync(folder).toSorted(), ['1-short', place, later, 'notes'].toSorted());
  await write(store, 4);
  t.notOk(readdirSync(folder).includes(later), 'once it is overtaken');
  t.equal(await seedOf(store), 4);
  await store.delete(KEY.name);
  t.same(readdirSync(folder).toSorted(), ['1-short', 'notes'], 'a removal leaves nothing of ours');
});

/** The calls of a manifest's head as an object, to change one of. */
function facesOf(head: ManifestHead) {
  return { entry: (name: string) => head.entry(name), nextVersion: (name: string) => head.nextVersion(name) };
}

t.test('a failure while content comes leaves nothing that counts', async (t) => {
  const root = scene(t);
  const { store } = await server(root);
  async function* breaking(): AsyncGenerator<Uint8Array, void> {
    yield content(1);
    throw new Error('no more');
  }
  await t.rejects(store.put(KEY, breaking()), { message: 'no more' });
  t.notOk(store.has(KEY.name));
  t.equal((await server(root)).head.point, undefined);
});
