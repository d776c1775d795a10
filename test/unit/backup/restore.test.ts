/** A lost vault comes back from its backup: all of it or a named refusal, nothing that the node did not sign, and nothing lost. */
import t from 'tap';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { findBackupAndKey } from '../../../enclave/backup/found-backup.ts';
import { openIdleVault, planOf, restoreBackup } from '../../../enclave/backup/restore.ts';
import type { PlannedObject } from '../../../enclave/backup/restore-plan.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { encodePrivateSigKey } from '../../../wire/signing-keys.ts';
import {
  BACKUP_KEYRING,
  backedUp,
  bytesOf,
  completeBackup,
  contentOf,
  copyAll,
  fileOf,
  followerOf,
  GOVERNANCE,
  keyName,
  OWNER,
  PRIMARY_KEYRING,
  placeIn,
  restoreInto,
  SIGNING_KEY,
  search,
  vaultIn,
} from './backup-scene.ts';

const STRANGER_SCALAR = new Uint8Array(32).fill(9);
const STRANGER = NodeKey.fromBytes(STRANGER_SCALAR);

const done = (objects: readonly PlannedObject[]) => objects.map(({ object, action }) => `${action} ${object}`);

/** Returns the fault that a work ends with, or its code; `done` if it ends well. */
async function faultOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (!isKmsError(error)) throw error;
    return error.facts.fault ?? error.code;
  }
}

t.test('an empty vault gets everything back, and goes on where the lost one ended', async (t) => {
  const { vault, backup } = await backedUp();
  const target = openMemoryStorage();
  const { objects, source } = await restoreInto(target, backup);
  t.same(done(objects), [`add ${keyName(1)}`, `add ${keyName(2)}`, `add ${GOVERNANCE}`, `add ${SIGNING_KEY}`]);
  t.same(source, vault.head.point);
  const restored = await vaultIn(target);
  for (const name of [SIGNING_KEY, GOVERNANCE, keyName(1), keyName(2)]) {
    t.same(await contentOf(restored, name), await contentOf(vault, name), name);
    t.equal(restored.head.entry(name)?.version, 2, 'above every version that the lost vault wrote');
  }
  t.same(restored.head.source, vault.head.point, 'it says what it was restored from');
  t.ok((restored.head.point?.sequence ?? 0) > (vault.head.point?.sequence ?? 0));
});

t.test('with the first key gone, the second one brings all of it back under a third', async (t) => {
  const { primary, backup } = await backedUp();
  const gone = async (): Promise<never> => Promise.reject(new KmsError('PRECONDITION_FAILED', 'the key is disabled'));
  const first = { ...PRIMARY_KEYRING, generate: gone, unwrap: gone };
  await t.rejects(contentOf(await vaultIn(primary, { keyring: first }), keyName(1)), { code: 'PRECONDITION_FAILED' });
  const third = { ...PRIMARY_KEYRING, name: 'third' };
  const found = await findBackupAndKey(search(backup));
  const idle = { storage: openMemoryStorage(), keyring: third, needsFence: false, onLeftover: () => undefined };
  await restoreBackup({ backup: found, keyring: BACKUP_KEYRING, target: await openIdleVault(idle, found) });
  t.same(await contentOf(await vaultIn(idle.storage, { keyring: third }), keyName(1)), bytesOf(2, 70_000));
  t.equal(await faultOf(contentOf(await vaultIn(idle.storage), keyName(1))), 'other-keychain');
});

t.test('an old writing of the lost vault does not come back into the restored one', async (t) => {
  const { vault, backup } = await backedUp();
  const target = openMemoryStorage();
  await restoreInto(target, backup);
  const [lost, path] = [await fileOf(vault.storage, keyName(2)), await fileOf(target, keyName(2))];
  await target.put(path, await vault.storage.get(lost), { replace: true });
  t.equal(await faultOf(contentOf(await vaultIn(target), keyName(2))), 'rolled-back');
});

t.test('a plan writes nothing, and says what would be done', async (t) => {
  const { backup } = await backedUp();
  const target = openMemoryStorage();
  const found = await findBackupAndKey(search(backup));
  const idle = { storage: target, keyring: PRIMARY_KEYRING, needsFence: false, onLeftover: () => undefined };
  const plan = await planOf({ backup: found, keyring: BACKUP_KEYRING, target: await openIdleVault(idle, found) });
  t.equal(plan.objects.length, 4);
  t.same(await target.list([]), []);
});

t.test('killed at every write, it goes on where it was, and no engine starts before it has ended', async (t) => {
  const { vault, backup } = await backedUp();
  for (let writes = 0; ; writes++) {
    const target = openMemoryStorage();
    const dying = dyingAfter(target, writes);
    const fault = await faultOf(restoreInto(dying, backup));
    const half = await vaultIn(target);
    if (fault === 'done') {
      t.ok(writes >= 9, `${writes} writes`);
      break;
    }
    if (half.store.has(SIGNING_KEY)) t.fail(`after ${writes} writes the signing key was there too early`);
    const { objects } = await restoreInto(target, backup);
    t.equal(objects.length, 4);
    const whole = await vaultIn(target);
    for (const name of [SIGNING_KEY, GOVERNANCE, keyName(1), keyName(2)]) {
      t.same(await contentOf(whole, name), await contentOf(vault, name), `${writes}: ${name}`);
    }
    t.same(whole.head.source, vault.head.point);
  }
});

/** Storage of a process that is killed after so many writes. */
function dyingAfter(storage: Storage, writes: number): Storage {
  let left = writes;
  const step = (): void => {
    if (left-- <= 0) throw new KmsError('UNAVAILABLE', 'killed');
  };
  return {
    ...storage,
    put: async (...args) => {
      step();
      return await storage.put(...args);
    },
    swap: async (...args) => {
      step();
      return await storage.swap(...args);
    },
  };
}

t.test('what is there stays as it is: only what is missing or spoilt is added', async (t) => {
  const { vault, primary, backup } = await backedUp();
  await primary.delete(await fileOf(primary, keyName(1)));
  await vault.write(GOVERNANCE, bytesOf(4, 100));
  const { objects } = await restoreInto(primary, backup);
  t.same(done(objects), [`again ${keyName(1)}`, `same ${keyName(2)}`, `newer ${GOVERNANCE}`, `same ${SIGNING_KEY}`]);
  const after = await vaultIn(primary);
  t.same(await contentOf(after, keyName(1)), bytesOf(2, 70_000));
  t.same(await contentOf(after, GOVERNANCE), bytesOf(4, 100));
  t.equal(after.head.source, undefined, 'a vault that was never lost is not a restored one');
});

t.test('what was removed since does not come back', async (t) => {
  const { vault, primary, backup } = await backedUp();
  await vault.store.delete(keyName(1));
  const { objects } = await restoreInto(primary, backup);
  t.equal(objects.find(({ object }) => object === keyName(1))?.action, 'removed');
  t.notOk((await vaultIn(primary)).store.has(keyName(1)));
});

t.test('an older object here is told, and stays', async (t) => {
  const { vault, primary, backup } = await backedUp();
  const old = await copyAll(primary);
  await vault.write(GOVERNANCE, bytesOf(4, 100));
  await completeBackup(vault, backup);
  const { objects } = await restoreInto(old, backup);
  t.equal(objects.find(({ object }) => object === GOVERNANCE)?.action, 'older');
  t.same(await contentOf(await vaultIn(old), GOVERNANCE), bytesOf(1, 300));
});

t.test('a restored vault is backed up as any other', async (t) => {
  const { backup } = await backedUp();
  const target = openMemoryStorage();
  await restoreInto(target, backup);
  const restored = await vaultIn(target, { incarnation: 2 });
  const follower = followerOf(restored, placeIn(backup, { incarnation: 2 }));
  await follower.complete();
  await follower.close();
  const again = openMemoryStorage();
  await restoreInto(again, backup, { remembered: restored.head.point });
  t.same(await contentOf(await vaultIn(again, { incarnation: 2 }), keyName(1)), bytesOf(2, 70_000));
});

t.test('a backup that is not complete to what is remembered is refused', async (t) => {
  const { vault, backup } = await backedUp();
  const complete = vault.head.point;
  await vault.write(keyName(3), bytesOf(1, 10));
  const empty = openMemoryStorage();
  t.equal(await faultOf(restoreInto(empty, backup, { remembered: vault.head.point })), 'incomplete');
  const other = { sequence: complete?.sequence ?? 0, digest: new Uint8Array(48) };
  t.equal(await faultOf(restoreInto(empty, backup, { remembered: other })), 'forked');
  t.same(await empty.list([]), [], 'nothing was written');
  t.equal(await faultOf(restoreInto(empty, backup, { remembered: complete })), 'done');
});

t.test('an older backup in the place of the newest is refused by who remembers', async (t) => {
  const { vault, backup } = await backedUp();
  const older = await copyAll(backup);
  await vault.write(keyName(3), bytesOf(1, 10));
  await completeBackup(vault, backup);
  t.equal(await faultOf(restoreInto(openMemoryStorage(), older, { remembered: vault.head.point })), 'incomplete');
  t.equal(await faultOf(restoreInto(openMemoryStorage(), backup, { remembered: vault.head.point })), 'done');
});

t.test('a backup that never was complete is refused', async (t) => {
  const { vault } = await backedUp();
  const backup = openMemoryStorage();
  const follower = followerOf(vault, placeIn(dyingAfter(backup, 8)));
  await t.rejects(follower.complete(), { code: 'UNAVAILABLE' });
  await follower.close();
  t.equal(await faultOf(restoreInto(openMemoryStorage(), backup)), 'incomplete');
});

t.test('another node’s signing key in the backup ends it before anything else is looked at', async (t) => {
  const stranger = openMemoryStorage();
  const theirs = await vaultIn(stranger, { key: STRANGER });
  await theirs.write(SIGNING_KEY, encodePrivateSigKey(STRANGER_SCALAR));
  const backup = openMemoryStorage();
  const follower = followerOf(theirs, placeIn(backup, { key: STRANGER }));
  await follower.complete();
  await follower.close();
  const target = openMemoryStorage();
  await t.rejects(restoreInto(target, backup), {
    code: 'STATE_INVALID',
    message: /the governed record names 0x/,
    facts: { fault: 'other-node' },
  });
  t.same(await target.list([]), []);
});

t.test('planted objects count for nothing, wherever they lie', async (t) => {
  const { backup } = await backedUp();
  const theirs = openMemoryStorage();
  const vault = await vaultIn(theirs, { key: STRANGER });
  await vault.write(SIGNING_KEY, encodePrivateSigKey(STRANGER_SCALAR));
  for (const name of [`Context/${'cc'.repeat(32)}`, `EpochData/${'dd'.repeat(32)}`, keyName(9)])
    await vault.write(name, bytesOf(1, 99));
  const planted = openMemoryStorage();
  const follower = followerOf(vault, placeIn(planted, { key: STRANGER }));
  await follower.complete();
  await follower.close();
  // Beside what is there, under names that the manifest does not have and under one that it has.
  const both = await copyAll(backup);
  for (const name of [SIGNING_KEY, `Context/${'cc'.repeat(32)}`, `EpochData/${'dd'.repeat(32)}`, keyName(9)]) {
    const path = await fileOf(planted, name);
    await both.put(path, await planted.get(path), { replace: true });
  }
  const { objects, report } = await restoreInto(openMemoryStorage(), both);
  t.equal(objects.length, 4, 'what the manifest names, and no more');
  t.same(new Set(report.strays.map(({ kind }) => kind)), new Set(['planted']));
  t.equal(report.strays.length, 4);
  const swapped = await copyAll(backup);
  const place = await fileOf(swapped, SIGNING_KEY);
  await swapped.put(place, await planted.get(await fileOf(planted, SIGNING_KEY)), { replace: true });
  t.equal(await faultOf(restoreInto(openMemoryStorage(), swapped)), 'other-writing', 'nor in the place of the key');
  const headless = await copyAll(backup);
  await headless.put(['Manifest', 'head'], await planted.get(['Manifest', 'head']), { replace: true });
  t.not(await faultOf(restoreInto(openMemoryStorage(), headless)), 'done', 'nor a manifest');
});

t.test(
  'every object that is deleted, cut, exchanged or changed stops the restore by its name, before a word is written',
  async (t) => {
    const { backup } = await backedUp();
    const names = [GOVERNANCE, keyName(1), keyName(2)];
    const target = openMemoryStorage();
    for (const name of names) {
      const path = await fileOf(backup, name);
      const bytes = await backup.get(path);
      const other = await backup.get(await fileOf(backup, name === GOVERNANCE ? keyName(1) : GOVERNANCE));
      const flipped = Uint8Array.from(bytes, (byte, at) => (at === bytes.length - 70 ? byte ^ 1 : byte));
      for (const [why, harmed] of [
        ['missing', undefined],
        ['cut', bytes.slice(0, -1)],
        ['exchanged', other],
        ['changed', flipped],
      ] as const) {
        const spoilt = await copyAll(backup);
        if (harmed === undefined) await spoilt.delete(path);
        else await spoilt.put(path, harmed, { replace: true });
        await t.rejects(
          restoreInto(target, spoilt),
          { facts: { fault: 'damaged' }, message: new RegExp(name) },
          `${name} ${why}`,
        );
      }
    }
    t.same(await target.list([]), []);
  },
);

t.test('without the second key, or without its manifest, nothing opens', async (t) => {
  const { backup } = await backedUp();
  t.equal(await faultOf(findBackupAndKey(search(backup, { keyring: PRIMARY_KEYRING }))), 'other-keychain');
  t.equal(await faultOf(findBackupAndKey(search(openMemoryStorage()))), 'NOT_FOUND');
  const other = { ...OWNER, charterDigest: new Uint8Array(48).fill(8), describe: OWNER.describe };
  t.not(await faultOf(findBackupAndKey(search(backup, { owner: other }))), 'done', 'nor under another charter');
  const broken = await copyAll(backup);
  await broken.put(['Manifest', 'head'], new Uint8Array(100), { replace: true });
  t.equal(await faultOf(findBackupAndKey(search(broken))), 'no-signing-key');
});

t.test('a vault that another engine takes over is restored no further', async (t) => {
  const { backup } = await backedUp();
  const target = openMemoryStorage();
  const found = await findBackupAndKey(search(backup));
  const idle = { storage: target, keyring: PRIMARY_KEYRING, needsFence: false, onLeftover: () => undefined };
  const [one, two] = [await openIdleVault(idle, found), await openIdleVault(idle, found)];
  const parts = { backup: found, keyring: BACKUP_KEYRING };
  await restoreBackup({ ...parts, target: one });
  t.equal(await faultOf(restoreBackup({ ...parts, target: two })), 'ABORTED');
  t.equal((await contentOf(await vaultIn(target), keyName(1))).length, 70_000);
});
