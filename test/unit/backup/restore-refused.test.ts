/** What is not restored: backups that are old, incomplete, of another node, planted or harmed. Each is refused by name. */
import t from 'tap';
import { findBackupAndKey } from '../../../enclave/backup/found-backup.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { encodePrivateSigKey } from '../../../wire/signing-keys.ts';
import { dyingAfter, faultOf } from './backup-faults.ts';
import {
  backedUp,
  bytesOf,
  completeBackup,
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
