/** Custodian contexts of a running node: made with governance's approval, whole or not at all. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { readStatement } from '../../../enclave/custodians/active-statement.ts';
import { loadBook } from '../../../enclave/custodians/custodian-book.ts';
import { openRecoveryMaterial } from '../../../wire/custodian/recovery-material.ts';
import { CHARTER, custodianKeys, destroyBody, idOf, newContextBody, openScene, PARTY } from './scene.ts';

t.test('a new context is in force at once, and everything is backed up under its key', async (t) => {
  const { office, backup, key, vault } = await openScene();
  t.equal(office.backupKey(), undefined, 'before the first there is none');
  await office.create(newContextBody(idOf(1)));
  t.equal(office.backupKey()?.contextId, idOf(1));
  t.same(backup.current, office.backupKey());
  t.ok(backup.sealed.has(idOf(1)));
  const shown = office.contexts();
  t.match(shown, [{ contextId: idOf(1), threshold: 1, active: true, spent: false }]);
  t.same(shown[0]?.custodians, ['custodian 1', 'custodian 2', 'custodian 3']);
  const material = await backup.storage.get(['RecoveryMaterial', idOf(1)]);
  const opened = openRecoveryMaterial(material, key.publicKey);
  t.same(opened.context.backupKey, office.backupKey()?.publicKey);
  t.equal((await loadBook(vault)).active, idOf(1));
});

t.test('the backup storage says whose custodians are in force, signed by the node', async (t) => {
  const { office, backup, key } = await openScene();
  await office.create(newContextBody(idOf(1)));
  await office.create(newContextBody(idOf(2)));
  const bytes = await backup.storage.get(['Custodians', 'active']);
  const asked = { charterDigest: CHARTER, party: PARTY, address: key.address };
  const statement = readStatement(bytes, asked);
  t.equal(statement.contextId, idOf(2));
  const material = await backup.storage.get(['RecoveryMaterial', idOf(2)]);
  t.same(statement.material, new Uint8Array(createHash('sha256').update(material).digest()));
});

t.test('governance approves the very request, and nothing is made without it', async (t) => {
  const scene = await openScene({ approves: false });
  const body = newContextBody(idOf(1));
  await t.rejects(scene.office.create(body), { code: 'APPROVAL_MISSING' });
  t.same(scene.asked, [`custodian-context ${createHash('sha384').update(body).digest('hex')}`]);
  t.equal(scene.office.backupKey(), undefined);
  t.same(scene.office.contexts(), []);
  t.same(await scene.backup.storage.list([]), []);
});

t.test('an id is used once', async (t) => {
  const { office } = await openScene();
  await office.create(newContextBody(idOf(1)));
  await t.rejects(office.create(newContextBody(idOf(1))), { code: 'ALREADY_EXISTS' });
});

t.test('what cannot be used is refused before governance is asked, and named', async (t) => {
  const { office, asked } = await openScene();
  const [first, second, third] = custodianKeys();
  if (!first || !second || !third) throw new Error('three custodians');
  const bad: readonly [string, Parameters<typeof newContextBody>[1], string, RegExp][] = [
    ['threshold 0', { threshold: 0 }, 'REQUEST_INVALID', /threshold/],
    ['threshold of half', { threshold: 2 }, 'REQUEST_INVALID', /threshold/],
    ['two days old', { ageMs: 2 * 86_400_000 }, 'TASK_FAILED', /custodian 1: .*48 hours.*custodian 3/],
    ['made tomorrow', { ageMs: -2 * 86_400_000 }, 'TASK_FAILED', /custodian 1/],
    ['garbage', { payload: () => new Uint8Array(20) }, 'TASK_FAILED', /custodian 2/],
    [
      'one cut',
      { payload: (bytes, index) => (index === 1 ? bytes.slice(0, -1) : bytes) },
      'TASK_FAILED',
      /custodian 2/,
    ],
    ['one extended', { payload: (bytes) => Buffer.concat([bytes, Buffer.of(0)]) }, 'TASK_FAILED', /custodian 3/],
    ['the same custodian twice', { keys: [first, second, first] }, 'TASK_FAILED', /same key/],
    ['sixteen', { keys: custodianKeys(16), threshold: 7 }, 'REQUEST_INVALID', /at most 15/],
  ];
  for (const [why, change, code, message] of bad) {
    await t.rejects(office.create(newContextBody(idOf(1), change)), { code, message }, why);
  }
  await t.rejects(office.create(Uint8Array.of(255, 255)), { code: 'REQUEST_INVALID' }, 'no message');
  t.same(asked, []);
});

t.test('a context whose backup does not come about is none, and the one before stays in force', async (t) => {
  const { office, backup, vault } = await openScene();
  await office.create(newContextBody(idOf(1)));
  backup.failure = new KmsError('UNAVAILABLE', 'the bucket is away');
  await t.rejects(office.create(newContextBody(idOf(2))), { code: 'UNAVAILABLE' });
  t.equal(office.backupKey()?.contextId, idOf(1));
  t.equal(backup.current?.contextId, idOf(1), 'backups go on as before');
  t.same((await loadBook(vault)).contexts.length, 1);
  backup.failure = undefined;
  await office.create(newContextBody(idOf(2)));
  t.equal(office.backupKey()?.contextId, idOf(2), 'and it can be asked for again');
});

t.test('only a context that is not in force can be destroyed, with all that lies under it', async (t) => {
  const { office, backup } = await openScene();
  await t.rejects(office.destroy(destroyBody(idOf(1))), { code: 'NOT_FOUND' });
  await office.create(newContextBody(idOf(1)));
  await t.rejects(office.destroy(destroyBody(idOf(1))), { code: 'PRECONDITION_FAILED' }, 'the only one');
  await office.create(newContextBody(idOf(2)));
  await t.rejects(office.destroy(destroyBody(idOf(2))), { code: 'PRECONDITION_FAILED' }, 'the one in force');
  await office.destroy(destroyBody(idOf(1)));
  t.same([...backup.sealed.keys()], [idOf(2)]);
  t.same(await backup.storage.list(['RecoveryMaterial']), [idOf(2)]);
  await t.rejects(office.destroy(destroyBody(idOf(1))), { code: 'NOT_FOUND' }, 'twice');
});

t.test('a failed destruction can be repeated', async (t) => {
  const { office, backup } = await openScene();
  await office.create(newContextBody(idOf(1)));
  await office.create(newContextBody(idOf(2)));
  backup.failure = new KmsError('UNAVAILABLE', 'the bucket is away');
  await t.rejects(office.destroy(destroyBody(idOf(1))), { code: 'UNAVAILABLE' });
  backup.failure = undefined;
  await office.destroy(destroyBody(idOf(1)));
  t.equal(office.contexts().length, 1);
});

t.test('a node that is started again goes on under the context that its vault names', async (t) => {
  const { office, backup, reopen } = await openScene();
  await office.create(newContextBody(idOf(9)));
  await office.create(newContextBody(idOf(2)));
  const again = await reopen();
  t.same(again.contexts(), office.contexts());
  t.same(again.backupKey(), office.backupKey(), 'not the one with the greatest id');
  await backup.storage.delete(['Custodians', 'active']);
  await backup.storage.delete(['RecoveryMaterial', idOf(2)]);
  await reopen();
  t.ok(await backup.storage.has(['Custodians', 'active']), 'what is missing in the backup storage is put back');
  t.ok(await backup.storage.has(['RecoveryMaterial', idOf(2)]));
});

t.test('what others put into the backup storage changes nothing', async (t) => {
  const scene = await openScene();
  const stranger = await openScene();
  await scene.office.create(newContextBody(idOf(1)));
  await stranger.office.create(newContextBody(idOf(0xff)));
  const planted = await stranger.backup.storage.get(['RecoveryMaterial', idOf(0xff)]);
  await scene.backup.storage.put(['RecoveryMaterial', idOf(0xff)], planted);
  const again = await scene.reopen();
  t.equal(again.backupKey()?.contextId, idOf(1));
  t.equal(again.contexts().length, 1);
});

t.test('a backup storage that is away does not keep the node from starting', async (t) => {
  const { office, reopen, backup } = await openScene();
  await office.create(newContextBody(idOf(1)));
  const away = { ...backup.storage, put: async () => Promise.reject(new KmsError('UNAVAILABLE', 'away')) };
  const again = await reopen({ backup: { ...backup, storage: away } });
  t.equal(again.backupKey()?.contextId, idOf(1));
});
