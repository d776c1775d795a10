/** The backup of a serving engine: what operators and custodians ask of it, over the link's own calls. */
import { generateKeyPairSync } from 'node:crypto';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { backupCalls, backupStatus } from '../../../enclave/backup/backup-calls.ts';
import { readDrill } from '../../../enclave/backup/drill-record.ts';
import { CUSTODIANS, custodianKeyring } from '../../../enclave/keychain/custodians.ts';
import {
  BackupDrillSchema,
  BackupReportSchema,
  BackupStateSchema,
  DrillCallSchema,
  RestoreCallSchema,
  RestoreReportSchema,
} from '../../../proto/gen/engine_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { BACKUP_KEYRING, bytesOf, contentOf, fileOf, keyName, NODE, vaultIn } from './backup-scene.ts';
import { callEngine, FOLDER, lostCalls, openedIn, runningBackup } from './served-backup.ts';

const restoreBody = (fields: MessageInitShape<typeof RestoreCallSchema>) =>
  toBinary(RestoreCallSchema, create(RestoreCallSchema, fields));

t.test('follows the vault from the start, and says what lies in the backup', async (t) => {
  const { backup, calls, filled } = await runningBackup(t);
  await backup.settled();
  const state = fromBinary(BackupStateSchema, await callEngine(calls, ENGINE_METHOD.backupState));
  t.match(state.status, { keychain: 'second', folder: FOLDER, behind: 0n, copied: 4n, failures: 0n, failureCode: '' });
  t.equal(Number(state.status?.completeSequence), filled.head.point?.sequence);
  t.same(state.folders, [FOLDER]);
  t.equal(state.objects.length, 4);
  await filled.write(keyName(3), bytesOf(4, 44));
  await backup.settled();
  const after = fromBinary(BackupStateSchema, await callEngine(calls, ENGINE_METHOD.backupState));
  t.match(
    after.objects.find(({ name }) => name === keyName(3)),
    { version: 1n, removed: false },
  );
});

t.test('verifies, plans and restores what is missing', async (t) => {
  const { backup, calls, filled } = await runningBackup(t);
  await backup.settled();
  const report = fromBinary(BackupReportSchema, await callEngine(calls, ENGINE_METHOD.backupVerify));
  t.match(report, { objects: 4n, faulty: [], strays: [] });
  await filled.storage.delete(await fileOf(filled.storage, keyName(1)));
  const actions = async (plan: boolean) => {
    const done = fromBinary(RestoreReportSchema, await callEngine(calls, ENGINE_METHOD.restore, restoreBody({ plan })));
    t.match(done, { lost: false, address: NODE.address });
    return done.objects.filter(({ object }) => object === keyName(1)).map(({ action }) => action);
  };
  t.same(await actions(true), ['again']);
  await t.rejects(contentOf(filled, keyName(1)), { code: 'NOT_FOUND' }, 'a plan changes nothing');
  t.same(await actions(false), ['again']);
  t.same(await contentOf(filled, keyName(1)), bytesOf(2, 70_000));
});

t.test('refuses a remembered state that is none', async (t) => {
  const { backup, calls, filled } = await runningBackup(t);
  await backup.settled();
  for (const fields of [
    { headSequence: 1n },
    { headDigest: new Uint8Array(48) },
    { headSequence: 1n, headDigest: new Uint8Array(47) },
    { headSequence: 2n ** 63n, headDigest: new Uint8Array(48) },
  ]) {
    await t.rejects(callEngine(calls, ENGINE_METHOD.restore, restoreBody({ plan: true, ...fields })), {
      code: 'REQUEST_INVALID',
    });
  }
  const { sequence = 0, digest = new Uint8Array() } = filled.head.point ?? {};
  const later = restoreBody({ plan: true, headSequence: BigInt(sequence + 1), headDigest: digest });
  await t.rejects(callEngine(calls, ENGINE_METHOD.restore, later), {
    code: 'STATE_INVALID',
    facts: { fault: 'incomplete' },
  });
});

t.test('a drill restores everything into memory, and its date and result outlive the engine', async (t) => {
  const { vault, calls, clock, backup } = await runningBackup(t);
  t.equal(await readDrill(vault), undefined);
  clock.set(5_000_000);
  const drill = fromBinary(BackupDrillSchema, await callEngine(calls, ENGINE_METHOD.backupDrill));
  t.match(drill, { timeMs: 5_000_000n, passed: true, objects: 4n, failureCode: '' });
  t.match(await readDrill(vault), { timeMs: 5_000_000, objects: 4, failure: undefined });
  t.match(backupStatus(backup), { drill: { passed: true } });
  await backup.settled();
  t.match(await backup.drill(), { objects: 5, failure: undefined }, 'the record itself is backed up');
});

t.test('a drill that fails is recorded as well', async (t) => {
  const storage = openMemoryStorage();
  const { backup, vault } = await runningBackup(t, openedIn(storage));
  await backup.settled();
  await storage.delete(await fileOf(storage, `${FOLDER}/${keyName(2)}`));
  t.match(await backup.drill(), { failure: 'STATE_INVALID', objects: 0 });
  t.match(await readDrill(vault), { failure: 'STATE_INVALID' });
});

t.test('no drill without the custodians who have the key, and none that failed', async (t) => {
  const keyring = async () => custodianKeyring(() => undefined);
  const key = { folder: FOLDER, keychain: CUSTODIANS, keyring };
  const { backup, vault } = await runningBackup(t, openedIn(openMemoryStorage(), { key }));
  await t.rejects(backup.drill(), { code: 'PRECONDITION_FAILED', message: /with its custodians/ });
  t.equal(await readDrill(vault), undefined);
});

t.test("an operator's word on a drill is recorded in developer mode, and nowhere else", async (t) => {
  const { vault, backup, clock } = await runningBackup(t);
  const say = async (rehearsed: MessageInitShape<typeof BackupDrillSchema>, developerMode = true) =>
    fromBinary(
      BackupDrillSchema,
      await callEngine(
        backupCalls(backup, developerMode),
        ENGINE_METHOD.backupDrill,
        toBinary(DrillCallSchema, create(DrillCallSchema, { rehearsed })),
      ),
    );
  clock.set(7_000_000);
  const passed = { passed: true, objects: 4n, bytes: 9n, tookMs: 12n };
  await t.rejects(say(passed, false), { code: 'PRECONDITION_FAILED' });
  t.equal(await readDrill(vault), undefined);
  t.match(await say({ ...passed, timeMs: 1n }), { ...passed, timeMs: 7_000_000n }, "the time is the engine's");
  t.match(await readDrill(vault), { timeMs: 7_000_000, objects: 4, bytes: 9, tookMs: 12, failure: undefined });
  t.match(await say({ failureCode: 'STATE_INVALID' }), { passed: false, failureCode: 'STATE_INVALID' });
  for (const [why, rehearsed] of [
    ['neither passed nor failed', {}],
    ['both', { ...passed, failureCode: 'STATE_INVALID' }],
    ['a code that is none', { failureCode: 'BAD_LUCK' }],
    ['more than can be counted', { ...passed, bytes: 2n ** 60n }],
  ] as const) {
    await t.rejects(say(rehearsed), { code: 'REQUEST_INVALID' }, why);
  }
  t.match(await readDrill(vault), { failure: 'STATE_INVALID' }, 'what was recorded stays');
});

t.test('a keyring that opens nothing fails the drill, and is told by name', async (t) => {
  const keyring = {
    ...BACKUP_KEYRING,
    unwrap: async () => Promise.reject(new KmsError('PERMISSION_DENIED', 'AWS KMS denied Decrypt')),
  };
  const key = { folder: FOLDER, keychain: 'second', keyring: async () => keyring };
  const { backup } = await runningBackup(t, openedIn(openMemoryStorage(), { key }));
  t.match(await backup.drill(), { failure: 'PERMISSION_DENIED' });
  await backup.settled();
  t.equal(backup.status().behind, 0, 'though the backup is complete');
});

t.test('a backup key that cannot be opened is a failure that is counted, not the end of the engine', async (t) => {
  const denied = new KmsError('PERMISSION_DENIED', 'AWS KMS denied GenerateDataKey');
  const key = { folder: FOLDER, keychain: 'aws-kms', keyring: async () => Promise.reject(denied) };
  const { backup } = await runningBackup(t, openedIn(openMemoryStorage(), { key }));
  await t.rejects(backup.settled(), { code: 'PERMISSION_DENIED' });
  const { behind, failureCode, failures } = backupStatus(backup);
  t.equal(behind, 4n);
  t.equal(failureCode, 'PERMISSION_DENIED');
  t.ok((failures ?? 0n) >= 1n);
});

t.test('custodians: nothing before a context, and all of it under each new one', async (t) => {
  const storage = openMemoryStorage();
  const { backup, calls } = await runningBackup(t, openedIn(storage, { key: undefined }));
  await t.rejects(callEngine(calls, ENGINE_METHOD.backupVerify), { code: 'PRECONDITION_FAILED' });
  await t.rejects(callEngine(calls, ENGINE_METHOD.restore, restoreBody({ plan: true })), {
    code: 'PRECONDITION_FAILED',
  });
  const state = fromBinary(BackupStateSchema, await callEngine(calls, ENGINE_METHOD.backupState));
  t.match(state.status, { behind: 4n, keychain: '' });
  const [one, two] = [keyPair(1), keyPair(2)];
  for (const key of [one, two]) {
    const sealing = custodianKeyring(() => key);
    backup.use({ folder: key.contextId, keychain: sealing.name, keyring: async () => sealing });
    await backup.settled();
    t.match(backup.status(), { keychain: 'custodians', folder: key.contextId, behind: 0 });
  }
  t.same(await storage.list([]), [one.contextId, two.contextId]);
  t.equal(fromBinary(BackupReportSchema, await callEngine(calls, ENGINE_METHOD.backupVerify)).objects, 4n);
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
  const { backup, filled } = await runningBackup(t, openedIn(storage));
  await backup.settled();
  const { calls: handler, storage: lost } = lostCalls(openedIn(storage));
  const plan = fromBinary(
    RestoreReportSchema,
    await callEngine(handler, ENGINE_METHOD.restore, restoreBody({ plan: true })),
  );
  t.equal(plan.lost, true);
  t.same(new Set(plan.objects.map(({ action }) => action)), new Set(['add']));
  t.same(await lost.list([]), []);
  await callEngine(handler, ENGINE_METHOD.restore, restoreBody({ plan: false }));
  const restored = await vaultIn(lost);
  t.same(await contentOf(restored, keyName(1)), await contentOf(filled, keyName(1)));
  const again = fromBinary(
    RestoreReportSchema,
    await callEngine(handler, ENGINE_METHOD.restore, restoreBody({ plan: false })),
  );
  t.same(new Set(again.objects.map(({ action }) => action)), new Set(['newer']), 'a second time adds nothing');
});

t.test('without a backup vault every call says so', async (t) => {
  const calls = backupCalls(undefined, true);
  for (const method of [
    ENGINE_METHOD.backupState,
    ENGINE_METHOD.backupVerify,
    ENGINE_METHOD.restore,
    ENGINE_METHOD.backupDrill,
  ]) {
    try {
      await callEngine(calls, method);
      t.fail(`method ${method}`);
    } catch (error) {
      t.ok(isKmsError(error, 'UNIMPLEMENTED'), `method ${method}`);
    }
  }
});
