/** The backup of a serving engine: what operators and custodians ask of it, over the link's own calls. */
import { generateKeyPairSync } from 'node:crypto';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { backupCalls, backupStatus, restoreCall } from '../../../enclave/backup/backup-calls.ts';
import { readDrill } from '../../../enclave/backup/drill-record.ts';
import type { OpenedBackup } from '../../../enclave/backup/open-backup.ts';
import { lostDesk } from '../../../enclave/backup/restore-desk.ts';
import { startBackup } from '../../../enclave/backup/running-backup.ts';
import { folderOfRootKey } from '../../../enclave/backup/storage-below.ts';
import type { EngineCall } from '../../../enclave/call.ts';
import { custodianKeyring } from '../../../enclave/keychain/custodians.ts';
import { objectSigner } from '../../../enclave/seal/object-signatures.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { sealedKeeper } from '../../../enclave/vault/sealed-keeper.ts';
import * as native from '../../../native/engine/index.ts';
import {
  BackupDrillSchema,
  BackupReportSchema,
  BackupStateSchema,
  RestoreCallSchema,
  RestoreReportSchema,
} from '../../../proto/gen/engine_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { ENGINE_METHOD, type EngineMethod } from '../../../wire/frames.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import {
  BACKUP_KEYRING,
  bytesOf,
  contentOf,
  fileOf,
  filledVault,
  keyName,
  log,
  NODE,
  OWNER,
  PRIMARY_KEYRING,
  standingClock,
  vaultIn,
} from './backup-scene.ts';

const FOLDER = folderOfRootKey('arn:aws:kms:eu-central-1:111122223333:key/backup');

function openedIn(storage = openMemoryStorage(), change: Partial<OpenedBackup> = {}): OpenedBackup {
  const key = { folder: FOLDER, keychain: BACKUP_KEYRING.name, keyring: async () => BACKUP_KEYRING };
  return { storage, key, needsFence: false, close: () => undefined, ...change };
}

/** An engine's vault with its backup. */
async function running(t: Test, opened = openedIn()) {
  const filled = await filledVault();
  const { head, store, storage } = filled;
  const owner = { purpose: 'private-object', charterDigest: OWNER.charterDigest, party: OWNER.party } as const;
  const sealer = { signer: objectSigner(NODE), keyring: PRIMARY_KEYRING };
  const sealed = { head, store, sealer, storage, owner, keyPolicyHash: undefined };
  const vault = new PrivateVault(sealedKeeper({ name: 'first', head, store, owner }));
  const clock = standingClock();
  const backup = await startBackup({ opened, sealed, vault, key: NODE, incarnation: 1, native, clock, log });
  t.teardown(() => backup.close());
  return { filled, vault, backup, clock, opened, calls: backupCalls(backup) };
}

/** Makes a call as the link does. */
async function call(
  calls: ReturnType<typeof backupCalls>,
  method: EngineMethod,
  body = new Uint8Array(),
): Promise<Uint8Array> {
  const handler = calls[method];
  if (handler === undefined) throw new Error('no handler');
  const nothing = async (): Promise<never> => Promise.reject(new Error('not asked for'));
  const rest: Omit<EngineCall, 'body'> = {
    evidence: new Uint8Array(),
    signal: new AbortController().signal,
    report: () => undefined,
    objects: { store: nothing },
  };
  return await handler({ body, ...rest });
}

const restoreBody = (fields: MessageInitShape<typeof RestoreCallSchema>) =>
  toBinary(RestoreCallSchema, create(RestoreCallSchema, fields));

t.test('follows the vault from the start, and says what lies in the backup', async (t) => {
  const { backup, calls, filled } = await running(t);
  await backup.settled();
  const state = fromBinary(BackupStateSchema, await call(calls, ENGINE_METHOD.backupState));
  t.match(state.status, { keychain: 'second', folder: FOLDER, behind: 0n, copied: 4n, failures: 0n, failureCode: '' });
  t.equal(Number(state.status?.completeSequence), filled.head.point?.sequence);
  t.same(state.folders, [FOLDER]);
  t.equal(state.objects.length, 4);
  await filled.write(keyName(3), bytesOf(4, 44));
  await backup.settled();
  const after = fromBinary(BackupStateSchema, await call(calls, ENGINE_METHOD.backupState));
  t.match(
    after.objects.find(({ name }) => name === keyName(3)),
    { version: 1n, removed: false },
  );
});

t.test('verifies, plans and restores what is missing', async (t) => {
  const { backup, calls, filled } = await running(t);
  await backup.settled();
  const report = fromBinary(BackupReportSchema, await call(calls, ENGINE_METHOD.backupVerify));
  t.match(report, { objects: 4n, faulty: [], strays: [] });
  await filled.storage.delete(await fileOf(filled.storage, keyName(1)));
  const actions = async (plan: boolean) => {
    const done = fromBinary(RestoreReportSchema, await call(calls, ENGINE_METHOD.restore, restoreBody({ plan })));
    t.match(done, { lost: false, address: NODE.address });
    return done.objects.filter(({ object }) => object === keyName(1)).map(({ action }) => action);
  };
  t.same(await actions(true), ['again']);
  await t.rejects(contentOf(filled, keyName(1)), { code: 'NOT_FOUND' }, 'a plan changes nothing');
  t.same(await actions(false), ['again']);
  t.same(await contentOf(filled, keyName(1)), bytesOf(2, 70_000));
});

t.test('refuses a remembered state that is none', async (t) => {
  const { backup, calls, filled } = await running(t);
  await backup.settled();
  for (const fields of [
    { headSequence: 1n },
    { headDigest: new Uint8Array(48) },
    { headSequence: 1n, headDigest: new Uint8Array(47) },
    { headSequence: 2n ** 63n, headDigest: new Uint8Array(48) },
  ]) {
    await t.rejects(call(calls, ENGINE_METHOD.restore, restoreBody({ plan: true, ...fields })), {
      code: 'REQUEST_INVALID',
    });
  }
  const { sequence = 0, digest = new Uint8Array() } = filled.head.point ?? {};
  const later = restoreBody({ plan: true, headSequence: BigInt(sequence + 1), headDigest: digest });
  await t.rejects(call(calls, ENGINE_METHOD.restore, later), { code: 'STATE_INVALID', facts: { fault: 'incomplete' } });
});

t.test('a drill restores everything into memory, and its date and result outlive the engine', async (t) => {
  const { vault, calls, clock, backup } = await running(t);
  t.equal(await readDrill(vault), undefined);
  clock.set(5_000_000);
  const drill = fromBinary(BackupDrillSchema, await call(calls, ENGINE_METHOD.backupDrill));
  t.match(drill, { timeMs: 5_000_000n, passed: true, objects: 4n, failureCode: '' });
  t.match(await readDrill(vault), { timeMs: 5_000_000, objects: 4, failure: undefined });
  t.match(backupStatus(backup), { drill: { passed: true } });
  await backup.settled();
  t.match(await backup.drill(), { objects: 5, failure: undefined }, 'the record itself is backed up');
});

t.test('a drill that fails is recorded as well', async (t) => {
  const storage = openMemoryStorage();
  const { backup, vault } = await running(t, openedIn(storage));
  await backup.settled();
  await storage.delete(await fileOf(storage, `${FOLDER}/${keyName(2)}`));
  t.match(await backup.drill(), { failure: 'STATE_INVALID', objects: 0 });
  t.match(await readDrill(vault), { failure: 'STATE_INVALID' });
});

t.test('a keyring that opens nothing fails the drill, and is told by name', async (t) => {
  const keyring = {
    ...BACKUP_KEYRING,
    unwrap: async () => Promise.reject(new KmsError('PERMISSION_DENIED', 'AWS KMS denied Decrypt')),
  };
  const key = { folder: FOLDER, keychain: 'second', keyring: async () => keyring };
  const { backup } = await running(t, openedIn(openMemoryStorage(), { key }));
  t.match(await backup.drill(), { failure: 'PERMISSION_DENIED' });
  await backup.settled();
  t.equal(backup.status().behind, 0, 'though the backup is complete');
});

t.test('a backup key that cannot be opened is a failure that is counted, not the end of the engine', async (t) => {
  const denied = new KmsError('PERMISSION_DENIED', 'AWS KMS denied GenerateDataKey');
  const key = { folder: FOLDER, keychain: 'aws-kms', keyring: async () => Promise.reject(denied) };
  const { backup } = await running(t, openedIn(openMemoryStorage(), { key }));
  await t.rejects(backup.settled(), { code: 'PERMISSION_DENIED' });
  const { behind, failureCode, failures } = backupStatus(backup);
  t.equal(behind, 4n);
  t.equal(failureCode, 'PERMISSION_DENIED');
  t.ok((failures ?? 0n) >= 1n);
});

t.test('custodians: nothing before a context, and all of it under each new one', async (t) => {
  const storage = openMemoryStorage();
  const { backup, calls } = await running(t, openedIn(storage, { key: undefined }));
  await t.rejects(call(calls, ENGINE_METHOD.backupVerify), { code: 'PRECONDITION_FAILED' });
  await t.rejects(call(calls, ENGINE_METHOD.restore, restoreBody({ plan: true })), { code: 'PRECONDITION_FAILED' });
  const state = fromBinary(BackupStateSchema, await call(calls, ENGINE_METHOD.backupState));
  t.match(state.status, { behind: 4n, keychain: '' });
  const [one, two] = [keyPair(1), keyPair(2)];
  for (const key of [one, two]) {
    const sealing = custodianKeyring(() => key);
    backup.use({ folder: key.contextId, keychain: sealing.name, keyring: async () => sealing });
    await backup.settled();
    t.match(backup.status(), { keychain: 'custodians', folder: key.contextId, behind: 0 });
  }
  t.same(await storage.list([]), [one.contextId, two.contextId]);
  t.equal(fromBinary(BackupReportSchema, await call(calls, ENGINE_METHOD.backupVerify)).objects, 4n);
  const order = { folder: two.contextId, keyring: custodianKeyring(() => two), plan: false };
  const { objects } = await backup.desk.run(order);
  t.same(new Set(objects.map(({ action }) => action)), new Set(['same']), 'all is here: nothing had to be opened');
  backup.use(undefined);
  await t.rejects(backup.settled(), { code: 'PRECONDITION_FAILED' });
});

function keyPair(n: number) {
  const { publicKey } = generateKeyPairSync('ml-kem-512');
  const contextId = parseRequestId(n.toString(16).padStart(64, '0'));
  return { contextId, publicKey: new Uint8Array(publicKey.export({ format: 'raw-public' })) };
}

t.test('an engine that lost its vault plans and restores it through the same call', async (t) => {
  const storage = openMemoryStorage();
  const { backup, filled } = await running(t, openedIn(storage));
  await backup.settled();
  const opened = openedIn(storage);
  const lost = { storage: openMemoryStorage(), keyring: PRIMARY_KEYRING, address: NODE.address };
  const charter = { charterDigest: OWNER.charterDigest, party: OWNER.party };
  const desk = lostDesk({ backup: opened, lost, owner: charter, native, log });
  const handler = { [ENGINE_METHOD.restore]: restoreCall(desk, () => opened.key) };
  const plan = fromBinary(RestoreReportSchema, await call(handler, ENGINE_METHOD.restore, restoreBody({ plan: true })));
  t.equal(plan.lost, true);
  t.same(new Set(plan.objects.map(({ action }) => action)), new Set(['add']));
  t.same(await lost.storage.list([]), []);
  await call(handler, ENGINE_METHOD.restore, restoreBody({ plan: false }));
  const restored = await vaultIn(lost.storage);
  t.same(await contentOf(restored, keyName(1)), await contentOf(filled, keyName(1)));
  const again = fromBinary(
    RestoreReportSchema,
    await call(handler, ENGINE_METHOD.restore, restoreBody({ plan: false })),
  );
  t.same(new Set(again.objects.map(({ action }) => action)), new Set(['newer']), 'a second time adds nothing');
});

t.test('without a backup vault every call says so', async (t) => {
  const calls = backupCalls(undefined);
  for (const method of [
    ENGINE_METHOD.backupState,
    ENGINE_METHOD.backupVerify,
    ENGINE_METHOD.restore,
    ENGINE_METHOD.backupDrill,
  ]) {
    try {
      await call(calls, method);
      t.fail(`method ${method}`);
    } catch (error) {
      t.ok(isKmsError(error, 'PRECONDITION_FAILED'), `method ${method}`);
    }
  }
});
