/** The head moves by compare-and-swap: of servers of one party one goes on, the others notice and stop, whatever storage does. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { manifestDigest, readManifest } from '../../../enclave/seal/manifest.ts';
import { ManifestHead, type ManifestWriter } from '../../../enclave/seal/manifest-head.ts';
import { openFileStorage } from '../../../storage/file-storage.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { seededRandom } from '../../helpers/mutate.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { ASKED, entryOf, removedAt, writerOf } from './manifest-scene.ts';

const HEAD = ['Manifest', 'head'];

t.test('states form a chain, and versions go up by one, over removals too', async (t) => {
  const storage = await openFileStorage({ root: tempDir(t), prefix: 'PRIV', folderMode: 0o700 });
  const head = await ManifestHead.open(writerOf(storage));
  t.equal(head.point, undefined);
  t.equal(head.nextVersion('a'), 1);
  const first = await head.advance(new Map([['a', entryOf(1)]]));
  const second = await head.advance(new Map([['a', removedAt(2)]]));
  t.same([first.sequence, second.sequence], [1, 2]);
  t.equal(head.nextVersion('a'), 3, 'what was removed does not come back under its number');
  const stored = readManifest(await storage.get(HEAD), ASKED);
  t.same(stored.previous, first.digest);
  t.same(manifestDigest(stored), second.digest);
  t.same(head.point, second);
  const again = await ManifestHead.open(writerOf(storage, { incarnation: 2 }));
  t.same(again.point, second);
  t.same(again.entry('a'), removedAt(2));
});

t.test('refuses a version that is no later one, and writes nothing', async (t) => {
  const head = await ManifestHead.open(writerOf(openMemoryStorage()));
  for (const version of [0, -1, 1.5]) {
    await t.rejects(head.advance(new Map([['a', entryOf(version)]])), { code: 'REQUEST_INVALID' }, `${version}`);
  }
  t.equal(head.point, undefined);
});

t.test('a version may skip some, as those of copies do, and never goes back', async (t) => {
  const head = await ManifestHead.open(writerOf(openMemoryStorage()));
  await head.advance(new Map([['a', entryOf(5)]]));
  t.equal(head.nextVersion('a'), 6);
  for (const version of [4, 5]) {
    await t.rejects(head.advance(new Map([['a', entryOf(version)]])), { code: 'REQUEST_INVALID' }, `${version}`);
  }
});

t.test('a restored vault goes on where its source ended, and says so until that is taken from it', async (t) => {
  const source = { sequence: 41, digest: new Uint8Array(48).fill(9) };
  const storage = openMemoryStorage();
  const moves: number[] = [];
  const head = await ManifestHead.open(writerOf(storage));
  const unfollow = head.follow(() => moves.push(head.point?.sequence ?? 0));
  t.equal((await head.advance(new Map([['a', entryOf(1)]]), { source })).sequence, 42);
  t.same(readManifest(await storage.get(HEAD), ASKED).previous, source.digest);
  await head.advance(new Map([['b', entryOf(1)]]));
  t.same((await ManifestHead.open(writerOf(storage))).source, source, 'it stays over later writes');
  t.same([...head.entries().keys()], ['a', 'b']);
  await head.advance(new Map(), { source: null });
  t.equal((await ManifestHead.open(writerOf(storage))).source, undefined);
  t.same(moves, [42, 43, 44], 'whoever follows is told of each state');
  unfollow();
  await head.advance();
  t.equal(moves.length, 3, 'until it ends');
});

t.test('a backup counts its own states, whatever it is a copy of', async (t) => {
  const asked = { ...ASKED, purpose: 'backup-object' } as const;
  const head = await ManifestHead.open(writerOf(openMemoryStorage(), { asked }));
  const source = { sequence: 41, digest: new Uint8Array(48).fill(9) };
  t.equal((await head.advance(new Map(), { source })).sequence, 1);
});

t.test('of ten replacements that start together exactly one goes on', async (t) => {
  for (const storage of [
    openMemoryStorage(),
    await openFileStorage({ root: tempDir(t), prefix: 'PRIV', folderMode: 0o700 }),
  ]) {
    await (await ManifestHead.open(writerOf(storage))).advance(new Map([['a', entryOf(1)]]));
    const heads = await Promise.all(
      Array.from({ length: 10 }, () => ManifestHead.open(writerOf(storage, { incarnation: 2 }))),
    );
    const results = await Promise.allSettled(heads.map((head) => head.advance()));
    const won = heads.filter((_, i) => results[i]?.status === 'fulfilled');
    t.equal(won.length, 1);
    for (const head of heads) {
      const more = head.advance(new Map([['b', entryOf(1)]]));
      if (head === won[0]) t.equal((await more).sequence, 3);
      else await t.rejects(more, { code: 'ABORTED', message: /stops writing/ }, 'for good');
    }
  }
});

t.test('a server that was started earlier stops at once', async (t) => {
  const storage = openMemoryStorage();
  await (await ManifestHead.open(writerOf(storage, { incarnation: 5 }))).advance();
  await t.rejects(ManifestHead.open(writerOf(storage, { incarnation: 4 })), { code: 'ABORTED' });
  await ManifestHead.open(writerOf(storage, { incarnation: 5 }));
});

t.test('a vault that was put back is refused against what is remembered', async (t) => {
  const storage = openMemoryStorage();
  const head = await ManifestHead.open(writerOf(storage));
  await head.advance(new Map([['a', entryOf(1)]]));
  const old = await storage.get(HEAD);
  const remembered = await head.advance(new Map([['a', entryOf(2)]]));
  await storage.put(HEAD, old, { replace: true });
  const asked = { ...ASKED, remembered };
  const facts = { fault: 'rolled-back' };
  await t.rejects(ManifestHead.open(writerOf(storage, { asked })), { code: 'STATE_INVALID', facts });
  await storage.delete(HEAD);
  await t.rejects(ManifestHead.open(writerOf(storage, { asked })), { code: 'STATE_INVALID', facts }, 'deleted');
  const fork = await ManifestHead.open(writerOf(openMemoryStorage()));
  t.equal((await fork.advance()).sequence, 1);
});

t.test('a head that is taken back under a running server stops it', async (t) => {
  const storage = openMemoryStorage();
  const head = await ManifestHead.open(writerOf(storage));
  await head.advance(new Map([['a', entryOf(1)]]));
  const old = await storage.get(HEAD);
  await head.advance(new Map([['a', entryOf(2)]]));
  await storage.put(HEAD, old, { replace: true });
  await t.rejects(head.advance(), { code: 'ABORTED' });
});

t.test('production refuses storage that cannot keep servers apart', async (t) => {
  const memory = openMemoryStorage();
  const storage = { ...memory, fenced: false };
  await t.rejects(ManifestHead.open(writerOf(storage, { needsFence: true })), { code: 'CONFIG_INVALID' });
  t.ok(await ManifestHead.open(writerOf(storage)), 'developer mode does not');
});

t.test('what is remembered of others goes into every later state, and survives', async (t) => {
  const storage = openMemoryStorage();
  const head = await ManifestHead.open(writerOf(storage));
  t.same(head.memory, new Uint8Array(0));
  head.remember(Uint8Array.of(1));
  t.equal(head.point, undefined, 'nothing was written for it');
  await head.advance(new Map([['a', entryOf(1)]]));
  t.same((await ManifestHead.open(writerOf(storage))).memory, Uint8Array.of(1), 'with the next object');
  head.remember(Uint8Array.of(2));
  await head.advance();
  await head.advance(new Map([['b', entryOf(1)]]));
  const again = await ManifestHead.open(writerOf(storage));
  t.same(again.memory, Uint8Array.of(2), 'by itself, and kept by who writes later');
  t.same(again.entry('a'), entryOf(1), 'beside the objects');
});

t.test('while it is confined the head can be taken over, and no object changes', async (t) => {
  const storage = openMemoryStorage();
  const head = await ManifestHead.open(writerOf(storage));
  const told: number[] = [];
  const stop = head.watch(({ sequence }) => told.push(sequence));
  head.confine(new KmsError('UNAVAILABLE', 'not confirmed yet'));
  head.remember(Uint8Array.of(7));
  await head.advance();
  await t.rejects(head.advance(new Map([['a', entryOf(1)]])), { code: 'UNAVAILABLE', message: 'not confirmed yet' });
  t.equal(head.entry('a'), undefined);
  t.same((await ManifestHead.open(writerOf(storage))).memory, Uint8Array.of(7));
  head.release();
  await head.advance(new Map([['a', entryOf(1)]]));
  stop();
  await head.advance(new Map([['b', entryOf(1)]]));
  t.same(told, [2], 'who watches hears of states with other objects, until it stops');
});

t.test('calls of one server wait for each other', async (t) => {
  const head = await ManifestHead.open(writerOf(openMemoryStorage()));
  const names = Array.from({ length: 20 }, (_, i) => `Object/${i}`);
  const points = await Promise.all(names.map((name) => head.advance(new Map([[name, entryOf(1)]]))));
  t.same(
    points.map(({ sequence }) => sequence),
    names.map((_, i) => i + 1),
  );
});

/** Storage that fails before or after a write, or when asked what happened, as a seed says. */
t.test('what is larger than any manifest is not read', async (t) => {
  const storage = openMemoryStorage();
  await storage.put(['Manifest', 'head'], new Uint8Array(4 * 1024 * 1024 + 1));
  await t.rejects(ManifestHead.open(writerOf(storage)), { code: 'RESOURCE_EXHAUSTED' });
});

function faulty(seed: number, percent: number): ManifestWriter['storage'] {
  const memory = openMemoryStorage();
  const random = seededRandom(seed);
  const fail = (): void => {
    if (random(100) < percent) throw new KmsError('UNAVAILABLE', 'storage does not answer');
  };
  return {
    fenced: true,
    getTagged: async (path, maxBytes) => {
      fail();
      return await memory.getTagged(path, maxBytes);
    },
    swap: async (...args) => {
      fail();
      const tag = await memory.swap(...args);
      fail();
      return tag;
    },
  };
}

t.test(
  '500 seeded runs over failing storage: nothing that was acknowledged is lost, and no server stops for nothing',
  async (t) => {
    for (let seed = 0; seed < 500; seed++) {
      const storage = faulty(seed, 25);
      const retry = async <T>(work: () => Promise<T>): Promise<T> => {
        for (;;) {
          try {
            return await work();
          } catch (error) {
            if (!(error instanceof KmsError) || error.code !== 'UNAVAILABLE') throw error;
          }
        }
      };
      const head = await retry(() => ManifestHead.open(writerOf(storage)));
      let acknowledged = 0;
      for (let i = 0; i < 12; i++) {
        try {
          await head.advance(new Map([['a', entryOf(head.nextVersion('a'))]]));
          acknowledged++;
        } catch (error) {
          const code = error instanceof KmsError ? error.code : '';
          // A version is taken if the write before came about after all.
          if (code !== 'UNAVAILABLE' && code !== 'REQUEST_INVALID') t.fail(`seed ${seed}: ${String(error)}`);
        }
      }
      const after = await retry(() => ManifestHead.open(writerOf(storage, { incarnation: 2 })));
      const version = after.entry('a')?.version ?? 0;
      if (version < acknowledged) t.fail(`seed ${seed}: version ${version} after ${acknowledged} writes`);
      if ((after.point?.sequence ?? 0) !== version) t.fail(`seed ${seed}: sequence and version differ`);
    }
    t.pass('500 seeds');
  },
);
