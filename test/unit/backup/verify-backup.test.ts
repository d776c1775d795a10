/** A backup is checked without a key: what is wrong is named, what lies there besides is told apart, and nothing is opened. */
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { findBackup } from '../../../enclave/backup/found-backup.ts';
import { folderOfRootKey, storageBelow } from '../../../enclave/backup/storage-below.ts';
import { verifyBackup } from '../../../enclave/backup/verify-backup.ts';
import type { DataKeyring } from '../../../enclave/keychain/data-keys.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import {
  BACKUP_KEYRING,
  backedUp,
  copyAll,
  fileOf,
  filledVault,
  followerOf,
  GOVERNANCE,
  keyName,
  NODE,
  OWNER,
  placeIn,
} from './backup-scene.ts';

const check = async (backup: Parameters<typeof findBackup>[0]) => verifyBackup(await findBackup(backup, NODE, OWNER));

t.test('all that is wrong is told at once, each under its name', async (t) => {
  const { backup } = await backedUp();
  await backup.delete(await fileOf(backup, keyName(1)));
  const path = await fileOf(backup, GOVERNANCE);
  await backup.put(path, (await backup.get(path)).slice(0, -1), { replace: true });
  const { faulty, objects } = await check(backup);
  t.equal(objects, 4);
  t.same(faulty, [
    { object: GOVERNANCE, faults: 'cut' },
    { object: keyName(1), faults: 'missing' },
  ]);
});

t.test('nothing is opened: a keyring that cannot open is enough to make a backup that verifies', async (t) => {
  const sealing: DataKeyring = {
    ...BACKUP_KEYRING,
    unwrap: async () => {
      throw new KmsError('PRECONDITION_FAILED', 'the custodians have the key');
    },
  };
  const [vault, backup] = [await filledVault(), openMemoryStorage()];
  const follower = followerOf(vault, placeIn(backup, { keyring: sealing }));
  await follower.complete();
  await follower.close();
  t.same((await check(backup)).faulty, []);
});

t.test('what a crash left behind is told apart from what somebody planted', async (t) => {
  const { vault, backup } = await backedUp();
  const own = await fileOf(backup, keyName(1));
  await backup.put([...own.slice(0, -1), '1-0011223344556677'], await backup.get(own));
  const elsewhere = [...keyName(7).split('/'), '1-0011223344556677'];
  await backup.put(elsewhere, await backup.get(own));
  await backup.put(['Planted', 'x'], new Uint8Array(10));
  await backup.put([...GOVERNANCE.split('/'), '9-00'], new Uint8Array(0));
  const { strays, faulty } = await check(backup);
  t.same(faulty, []);
  const kinds = new Map(strays.map(({ path, kind }) => [path, kind]));
  t.same(
    kinds,
    new Map([
      [[...own.slice(0, -1), '1-0011223344556677'].join('/'), 'leftover'],
      [elsewhere.join('/'), 'planted'],
      ['Planted/x', 'planted'],
      [`${GOVERNANCE}/9-00`, 'planted'],
    ]),
  );
  t.ok(vault.store.has(keyName(1)));
});

t.test('of very many planted objects a thousand are told, and the check comes to its end', async (t) => {
  const { backup } = await backedUp();
  for (let i = 0; i < 1_200; i++) await backup.put(['Planted', `x${i}`], Uint8Array.of(1));
  const { strays, faulty } = await check(backup);
  t.equal(strays.length, 1_000);
  t.same(faulty, []);
});

t.test('a name of a later release is told, and is no reason to stop looking', async (t) => {
  const { backup } = await backedUp();
  const found = await findBackup(backup, NODE, OWNER);
  const describe = (name: string) => {
    if (name === GOVERNANCE) throw new KmsError('STATE_INVALID', 'not known');
    return OWNER.describe(name);
  };
  const { faulty } = await verifyBackup({ ...found, owner: { ...OWNER, describe } });
  t.same(faulty, [{ object: GOVERNANCE, faults: 'unknown-name' }]);
});

t.test('storage that does not answer is no fault of the backup', async (t) => {
  const { backup } = await backedUp();
  const found = await findBackup(backup, NODE, OWNER);
  const dead = { ...backup, open: () => Promise.reject(new KmsError('UNAVAILABLE', 'S3 does not answer')) };
  await t.rejects(verifyBackup({ ...found, storage: dead }), { code: 'UNAVAILABLE' });
  await t.rejects(verifyBackup(found, AbortSignal.abort()), { code: 'CANCELLED' });
});

t.test('backups under different keys lie side by side, and none sees the other', async (t) => {
  const { backup } = await backedUp();
  const root = openMemoryStorage();
  const [one, two] = ['arn:aws:kms:eu-central-1:1:key/a', 'arn:aws:kms:eu-central-1:1:key/b'].map(folderOfRootKey);
  t.match(one, /^aws-kms-[0-9a-f]{16}$/);
  t.not(one, two);
  const [first, second] = [storageBelow(root, one ?? ''), storageBelow(root, two ?? '')];
  await copyAll(backup, first);
  t.equal((await check(first)).objects, 4);
  await t.rejects(findBackup(second, NODE, OWNER), { code: 'NOT_FOUND' });
  t.same(await root.list([]), [one]);
});
