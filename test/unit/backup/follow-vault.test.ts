/** The backup follows the vault: all of it, sealed a second time, and never silently behind. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { findBackup } from '../../../enclave/backup/found-backup.ts';
import { verifyBackup } from '../../../enclave/backup/verify-backup.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import {
  backedUp,
  bytesOf,
  contentOf,
  fileOf,
  filledVault,
  followerOf,
  GOVERNANCE,
  keyName,
  NODE,
  OWNER,
  placeIn,
  SIGNING_KEY,
  standingClock,
  vaultIn,
} from './backup-scene.ts';

/** Storage that refuses to write while told to. */
function failing(storage: Storage): Storage & { broken: boolean } {
  const refuse = (): void => {
    if (wrapped.broken) throw new KmsError('UNAVAILABLE', 'the backup storage does not answer');
  };
  const wrapped = {
    ...storage,
    broken: true,
    put: async (...args: Parameters<Storage['put']>) => {
      refuse();
      return await storage.put(...args);
    },
    swap: async (...args: Parameters<Storage['swap']>) => {
      refuse();
      return await storage.swap(...args);
    },
  };
  return wrapped;
}

t.test('every object is there at its version, under another key, and the manifest says of which state', async (t) => {
  const { vault, backup } = await backedUp();
  const { manifest } = await findBackup(backup, NODE, OWNER);
  t.same([...manifest.entries.keys()].sort(), [GOVERNANCE, keyName(1), keyName(2), SIGNING_KEY].sort());
  t.same(manifest.source, vault.head.point);
  for (const name of manifest.entries.keys()) {
    t.equal(manifest.entries.get(name)?.version, vault.head.entry(name)?.version, name);
    const [copy, own] = [
      await backup.get(await fileOf(backup, name)),
      await vault.storage.get(await fileOf(vault.storage, name)),
    ];
    t.notOk(Buffer.from(copy).equals(Buffer.from(own)));
    t.ok(Buffer.from(copy).includes('second') && Buffer.from(copy).includes('backup-object'));
  }
  const { faulty, strays, objects } = await verifyBackup(await findBackup(backup, NODE, OWNER));
  t.same({ faulty, strays, objects }, { faulty: [], strays: [], objects: 4 });
});

t.test(
  'what is replaced is replaced there, what is removed is removed, and versions skip what came in between',
  async (t) => {
    const backup = openMemoryStorage();
    const vault = await filledVault();
    const follower = followerOf(vault, placeIn(backup));
    t.teardown(() => follower.close());
    await follower.complete();
    for (const seed of [5, 6, 7]) await vault.write(GOVERNANCE, bytesOf(seed, 400));
    await vault.store.delete(keyName(2));
    t.equal(follower.status().behind, 2);
    await follower.complete();
    const { manifest } = await findBackup(backup, NODE, OWNER);
    t.equal(manifest.entries.get(GOVERNANCE)?.version, 4);
    t.same(manifest.entries.get(keyName(2)), { version: 2, writing: undefined });
    t.same(await backup.list(keyName(2).split('/')), [], 'its file is gone');
    t.equal((await backup.list(GOVERNANCE.split('/'))).length, 1, 'the writing before is gone');
    t.equal(follower.status().behind, 0);
    t.equal(follower.status().copied, 5);
  },
);

t.test('what was removed before it was ever copied needs no copy', async (t) => {
  const backup = openMemoryStorage();
  const vault = await filledVault();
  await vault.store.delete(keyName(1));
  const follower = followerOf(vault, placeIn(backup));
  t.teardown(() => follower.close());
  await follower.complete();
  t.notOk((await findBackup(backup, NODE, OWNER)).manifest.entries.has(keyName(1)));
});

t.test('a start that changes no object is told to the backup, too', async (t) => {
  const { vault, backup } = await backedUp();
  await vault.head.advance();
  const follower = followerOf(vault, placeIn(backup));
  t.teardown(() => follower.close());
  await follower.complete();
  t.same((await findBackup(backup, NODE, OWNER)).manifest.source, vault.head.point);
});

t.test('a backup that fails is behind, says since when, and is tried again until it is complete', async (t) => {
  const storage = failing(openMemoryStorage());
  const vault = await filledVault();
  const clock = standingClock();
  const waits: number[] = [];
  const wait = async (ms: number): Promise<void> => {
    waits.push(ms);
    clock.set(clock.monotonicMs() + ms);
    if (waits.length === 9) storage.broken = false;
  };
  const follower = followerOf(vault, placeIn(storage), { clock, wait });
  follower.changed();
  await t.rejects(follower.complete(), { code: 'UNAVAILABLE' });
  const early = follower.status();
  t.equal(early.behind, 4);
  t.ok(early.failures >= 1);
  t.equal(early.failure?.code, 'UNAVAILABLE');
  while (follower.status().behind > 0) await new Promise((resolve) => setImmediate(resolve));
  await follower.complete();
  t.same(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  const late = follower.status();
  t.same([late.behind, late.behindMs, late.failure], [0, 0, undefined]);
  t.ok(late.failures >= 9, 'failures are never forgotten');
  await follower.close();
});

t.test('lag counts from the first write that is not copied', async (t) => {
  const storage = failing(openMemoryStorage());
  const vault = await filledVault();
  const clock = standingClock();
  const follower = followerOf(vault, placeIn(storage), { clock, wait: () => new Promise(() => undefined) });
  follower.changed();
  clock.set(5_000);
  follower.changed();
  t.equal(follower.status().behindMs, 4_000);
});

t.test('without a key to seal with nothing is copied, and the reason is told', async (t) => {
  const vault = await filledVault();
  const follower = followerOf(vault, undefined);
  await t.rejects(follower.complete(), { code: 'PRECONDITION_FAILED', message: /custodian context/ });
  t.equal(follower.status().behind, 4);
  const storage = openMemoryStorage();
  follower.use(placeIn(storage));
  await follower.complete();
  t.equal(follower.status().behind, 0);
  await follower.close();
});

t.test('another key begins another backup, with all of the vault', async (t) => {
  const [first, second] = [openMemoryStorage(), openMemoryStorage()];
  const vault = await filledVault();
  const follower = followerOf(vault, placeIn(first));
  await follower.complete();
  follower.use(placeIn(second));
  await follower.complete();
  t.equal((await findBackup(second, NODE, OWNER)).manifest.entries.size, 4);
  await vault.write(keyName(3), bytesOf(9, 10));
  await follower.complete();
  t.equal((await findBackup(second, NODE, OWNER)).manifest.entries.size, 5);
  t.equal((await findBackup(first, NODE, OWNER)).manifest.entries.size, 4, 'the one before stays as it was');
  await follower.close();
});

t.test('an engine that was started later takes the backup over, and the one before stops', async (t) => {
  const { vault, backup } = await backedUp();
  const old = followerOf(vault, placeIn(backup));
  await old.complete();
  await vault.head.advance();
  const next = followerOf(await vaultIn(vault.storage, { incarnation: 2 }), placeIn(backup, { incarnation: 2 }));
  await next.complete();
  await vault.head.advance();
  for (const _ of [1, 2]) await t.rejects(old.complete(), { code: 'ABORTED' });
  await old.close();
  await next.close();
});

t.test('an object that is replaced while it is copied is copied as it is then', async (t) => {
  const storage = openMemoryStorage();
  const vault = await filledVault();
  let replaced = false;
  const slow: Storage = {
    ...storage,
    put: async (path, source, options) => {
      if (!replaced && path.join('/').startsWith(keyName(1))) {
        replaced = true;
        await vault.write(keyName(1), bytesOf(8, 999));
        await vault.write(keyName(2), bytesOf(8, 999));
      }
      return await storage.put(path, source, options);
    },
  };
  const follower = followerOf(vault, placeIn(slow));
  await follower.complete();
  const { manifest } = await findBackup(storage, NODE, OWNER);
  t.same([manifest.entries.get(keyName(1))?.version, manifest.entries.get(keyName(2))?.version], [2, 2]);
  t.same(manifest.source, vault.head.point);
  t.same(await contentOf(vault, keyName(1)), bytesOf(8, 999));
  await follower.close();
});

t.test('a damaged object of the vault is not copied, and its name is told', async (t) => {
  const vault = await filledVault();
  const path = await fileOf(vault.storage, keyName(1));
  const bytes = await vault.storage.get(path);
  bytes[2000] = (bytes[2000] ?? 0) ^ 1;
  await vault.storage.put(path, bytes, { replace: true });
  const backup = openMemoryStorage();
  const follower = followerOf(vault, placeIn(backup));
  await t.rejects(follower.complete(), { code: 'STATE_INVALID', message: new RegExp(keyName(1)) });
  t.same(await backup.list(keyName(1).split('/')), []);
  t.equal(follower.status().completeTo, undefined);
  await follower.close();
});
