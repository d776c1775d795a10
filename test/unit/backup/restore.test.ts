/** A lost vault comes back from its backup: all of it, and nothing that is there is lost. What is refused: restore-refused.test.ts. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { findBackupAndKey } from '../../../enclave/backup/found-backup.ts';
import { openIdleVault, planOf, restoreBackup } from '../../../enclave/backup/restore.ts';
import type { PlannedObject } from '../../../enclave/backup/restore-plan.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { dyingAfter, faultOf } from './backup-faults.ts';
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
  PRIMARY_KEYRING,
  placeIn,
  restoreInto,
  SIGNING_KEY,
  search,
  vaultIn,
} from './backup-scene.ts';

const done = (objects: readonly PlannedObject[]) => objects.map(({ object, action }) => `${action} ${object}`);

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
