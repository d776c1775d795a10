/**
 * A node that dies at any write of a new custodian context, or of a context's end: after the next start one context is in force,
 * and a recovery with its custodians works.
 */
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import { readStatement } from '../../../enclave/custodians/active-statement.ts';
import type { CustodianBackup } from '../../../enclave/custodians/custodian-backup.ts';
import type { CustodianOffice, OfficeDeps } from '../../../enclave/custodians/custodian-office.ts';
import { deleteBelow } from '../../../enclave/custodians/delete-below.ts';
import { CustodianRecovery } from '../../../enclave/custodians/recovery.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { startTestAttester } from '../../helpers/software-nsm.ts';
import { CHARTER, destroyBody, idOf, newContextBody, openScene, PARTY, recoveryBody, type Scene } from './scene.ts';

const attester = await startTestAttester({ role: 'engine', charterDigest: CHARTER });
/** More writes than any change makes. */
const MOST_WRITES = 16;

/** Parts of a node that ends after so many writes: each one after them fails, as if it never came about. */
function dyingParts({ vault, backup }: Scene, writes: number): Pick<OfficeDeps, 'vault' | 'backup'> {
  let left = writes;
  const write = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (left === 0) throw new KmsError('UNAVAILABLE', 'the node has died');
      left -= 1;
      return await work(...args);
    };
  };
  const { storage } = backup;
  const dying: CustodianBackup = {
    ...backup,
    storage: {
      ...storage,
      put: write((...args: Parameters<typeof storage.put>) => storage.put(...args)),
      delete: write((...args: Parameters<typeof storage.delete>) => storage.delete(...args)),
    },
    use: (key) => backup.use(key),
    settled: write(() => backup.settled()),
    forget: write((id: Parameters<typeof backup.forget>[0]) => backup.forget(id)),
  };
  const put = write((...args: Parameters<typeof vault.put>) => vault.put(...args));
  const held: OfficeDeps['vault'] = { put, has: (path) => vault.has(path), read: (path, use) => vault.read(path, use) };
  return { vault: held, backup: dying };
}

/** Checks that what the book, the backup and the statement say fits together, and that custodians can help. */
async function checkWhole(t: Test, scene: Scene, office: CustodianOffice, why: string): Promise<void> {
  const { backup, key } = scene;
  const active = office.contexts().find((context) => context.active);
  const contextId = active?.contextId ?? idOf(0xffff);
  const asked = { charterDigest: CHARTER, party: PARTY, address: key.address };
  const statement = readStatement(await backup.storage.get(['Custodians', 'active']), asked);
  t.equal(statement.contextId, contextId, `${why}: the statement names the context in force`);
  const material = await backup.storage.get(['RecoveryMaterial', contextId]);
  t.same(statement.material, new Uint8Array(createHash('sha256').update(material).digest()), `${why}: its material`);
  t.ok(backup.sealed.has(contextId), `${why}: there is a backup under it`);
  t.equal(backup.current?.contextId, contextId, `${why}: backups go on under it`);
  const recovery = new CustodianRecovery({
    source: async () => ({ material, verificationKey: statement.verificationKey }),
    backup,
    attester: attester.nsm,
    network: 'dev:test',
    charterDigest: CHARTER,
    onOpened: async () => undefined,
    log: createLogger({ name: 'test', level: 'silent' }),
  });
  const before = backup.opened.length;
  await recovery.finish(recoveryBody(contextId, await recovery.begin(false), [1, 3]));
  t.equal(backup.opened.length, before + 1, `${why}: and its custodians open it`);
}

t.test('a node that dies at any write of a new context has the old one or the new one, whole', async (t) => {
  const actives = new Set<string>();
  for (let writes = 0; writes < MOST_WRITES; writes++) {
    const scene = await openScene();
    await scene.office.create(newContextBody(idOf(1)));
    const dying = dyingParts(scene, writes);
    // The office itself opens with two writes of its own.
    const office = await scene.reopen(dying).catch(() => undefined);
    await office?.create(newContextBody(idOf(2))).catch(() => undefined);
    const again = await scene.reopen();
    await checkWhole(t, scene, again, `after ${writes} writes`);
    const active = again.backupKey()?.contextId ?? '';
    actives.add(active);
    if (active === idOf(1)) await again.create(newContextBody(idOf(2)));
    t.equal(again.backupKey()?.contextId, idOf(2), 'and it can be asked for again');
  }
  t.same([...actives], [idOf(1), idOf(2)], 'both were seen');
});

t.test('a node that dies at any write of an end can be asked for it again', async (t) => {
  for (let writes = 0; writes < MOST_WRITES; writes++) {
    const scene = await openScene();
    await scene.office.create(newContextBody(idOf(1)));
    await scene.office.create(newContextBody(idOf(2)));
    const office = await scene.reopen(dyingParts(scene, writes)).catch(() => undefined);
    await office?.destroy(destroyBody(idOf(1))).catch(() => undefined);
    const again = await scene.reopen();
    await checkWhole(t, scene, again, `after ${writes} writes`);
    if (again.contexts().length === 2) await again.destroy(destroyBody(idOf(1)));
    t.same(
      again.contexts().map(({ contextId }) => contextId),
      [idOf(2)],
    );
    t.same(await scene.backup.storage.list(['RecoveryMaterial']), [idOf(2)], 'nothing of it is left');
  }
});

t.test('a folder is removed with all that is in it, and nothing beside it', async (t) => {
  const storage = openMemoryStorage();
  const paths = [
    ['a', 'Manifest', 'head'],
    ['a', 'SigningKey', 'x', '1-ab'],
    ['a', 'SigningKey', 'x', '2-cd'],
    ['ab', 'x'],
    ['b', 'x'],
  ];
  for (const path of paths) await storage.put(path, Uint8Array.of(1));
  await deleteBelow(storage, ['a']);
  t.same(await storage.list([]), ['ab', 'b']);
  await deleteBelow(storage, ['a']);
  t.same(await storage.list([]), ['ab', 'b'], 'twice');
});
