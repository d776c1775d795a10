/**
 * A private vault that somebody put back to an older state: the backup remembers, and the engine says so and serves nothing
 * but its restore. Real engines over the real mesh.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { clearKeyring } from '../../../enclave/seal/clear-keyring.ts';
import {
  EngineStatusSchema,
  GovernanceStateSchema,
  RestoreCallSchema,
  RestoreReportSchema,
} from '../../../proto/gen/engine_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { Storage } from '../../../storage/storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { startSealedNode } from '../../helpers/sealed-node.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { crsGenCall, describe, makeKey, type TestEngine } from '../../helpers/test-engine.ts';
import { copyAll } from './backup-scene.ts';

const FOLDER = 'aws-kms-0123456789abcdef';
const HEAD = [FOLDER, 'Manifest', 'head'];
const keyring = clearKeyring();
const key = { folder: FOLDER, keychain: keyring.name, keyring: async () => keyring };

const folder = tempDir(t);
/** A node made a key, was copied, and made a CRS: all as it lay at both times. */
const node = await usedNode(t);

async function usedNode(t: Test) {
  const [vault, backup] = [openMemoryStorage(), openMemoryStorage()];
  const first = await start(t, vault, backup);
  const link = await first.link();
  const { keyId } = await makeKey(t, link);
  await complete(link);
  const old = { vault: await copyAll(vault), backup: await copyAll(backup) };
  await link.call(ENGINE_METHOD.crsGen, crsGenCall());
  await complete(link);
  const state = fromBinary(GovernanceStateSchema, await link.call(ENGINE_METHOD.governanceState));
  await first.stop();
  const head = { sequence: Number(state.vaultSequence), digest: state.vaultDigest };
  return { keyId, old, vault, backup, head };
}

/** Starts the node over storages, which it changes. */
function start(t: Test, vault: Storage, storage: Storage): Promise<TestEngine> {
  return startSealedNode(t, { folder, vault, backup: { storage, key } });
}

const backupOf = async (link: EngineTestLink) =>
  fromBinary(EngineStatusSchema, await link.call(ENGINE_METHOD.status)).backup;

/** Waits until the backup is as the vault is: the engine itself waits for that before it rehearses. */
async function complete(link: EngineTestLink): Promise<void> {
  await link.call(ENGINE_METHOD.backupDrill);
}

async function restore(link: EngineTestLink) {
  const body = toBinary(RestoreCallSchema, create(RestoreCallSchema, { plan: false }));
  return fromBinary(RestoreReportSchema, await link.call(ENGINE_METHOD.restore, body));
}

async function clear(storage: Storage, folder: readonly string[] = []): Promise<void> {
  for (const name of await storage.list(folder)) {
    const path = [...folder, name];
    if (!(await storage.delete(path))) await clear(storage, path);
  }
}

t.test('an engine whose vault was put back serves nothing, however often it is started', async (t) => {
  const vault = await copyAll(node.old.vault);
  const backup = await copyAll(node.backup);
  const before = await vault.get(['Manifest', 'head']);
  for (let times = 0; times < 3; times++) {
    const { engine, link: connect, stop } = await start(t, vault, backup);
    t.match(engine.facts, { awaitsRestore: true, restoreReason: /the private vault was put back: .*its backup/ });
    const link = await connect();
    t.match(await describe(link), { awaitsRestore: true, restoreReason: /put back/, keys: [] });
    for (const method of [ENGINE_METHOD.publicDecrypt, ENGINE_METHOD.crsGen, ENGINE_METHOD.vaultStatus]) {
      const refused = { code: 'PRECONDITION_FAILED', message: /the private vault was put back/ };
      await t.rejects(link.call(method, crsGenCall()), refused, `method ${method}`);
    }
    await stop();
    t.same(await vault.get(['Manifest', 'head']), before, 'nor is the vault moved: it never looks newer');
  }
  const cured = await start(t, await copyAll(node.vault), backup);
  t.match((await describe(await cured.link())).keys, [{ keyId: node.keyId }]);
});

t.test('a vault that was put back is restored once it has been emptied', async (t) => {
  const vault = await copyAll(node.old.vault);
  const backup = await copyAll(node.backup);
  const waiting = await start(t, vault, backup);
  const link = await waiting.link();
  await t.rejects(restore(link), { code: 'PRECONDITION_FAILED', message: /still holds the older state/ });
  await clear(vault);
  t.match(await restore(link), { lost: true, report: { faulty: [] } });
  t.notOk(
    (await restore(link)).objects.some(({ action }) => action === 'add' || action === 'again'),
    'no more to add',
  );
  await waiting.stop();
  const again = await start(t, vault, backup);
  const info = await describe(await again.link());
  t.same([info.awaitsRestore, info.keys.map(({ keyId }) => keyId), info.crs.length], [false, [node.keyId], 1]);
});

t.test('both put back together are found out by what the Core has kept, and by nobody else', async (t) => {
  const before = { folder, vault: await copyAll(node.old.vault), backup: await copyAll(node.old.backup) };
  const again = () => startSealedNode(t, { ...before, backup: { storage: before.backup, key }, keptHead: node.head });
  for (let times = 0; times < 2; times++) {
    const { engine, stop } = await again();
    t.match(engine.facts, { awaitsRestore: true, restoreReason: /put back: .*; its Core has state/ });
    await stop();
  }
  const { engine } = await start(t, before.vault, before.backup);
  t.notOk(engine.facts.awaitsRestore, 'with no memory left anywhere it is as if nothing had been written since');
});

t.test('without a backup an engine that finds its vault put back does not start', async (t) => {
  const vault = await copyAll(node.old.vault);
  for (let times = 0; times < 2; times++) {
    await t.rejects(startSealedNode(t, { folder, vault, keptHead: node.head }), {
      code: 'STATE_INVALID',
      message: /the private vault was put back: .*; its Core has state/,
    });
  }
  const newest = await startSealedNode(t, { folder, vault: await copyAll(node.vault), keptHead: node.head });
  t.notOk(newest.engine.facts.awaitsRestore);
});

t.test('what the node did not sign stops nobody, and is told', async (t) => {
  const own = await node.backup.get(HEAD);
  for (const [what, head] of [
    ['a head that was changed', own.map((byte, at) => (at === 100 ? byte ^ 1 : byte))],
    ["a private vault's head", await node.vault.get(['Manifest', 'head'])],
    ['bytes', Uint8Array.of(1, 2, 3)],
    ['more than a manifest has', new Uint8Array(5 * 1024 * 1024)],
  ] as const) {
    const backup = await copyAll(node.backup);
    await backup.put(HEAD, head, { replace: true });
    const { engine, link, stop } = await start(t, await copyAll(node.vault), backup);
    t.notOk(engine.facts.awaitsRestore, what);
    const told = (await backupOf(await link()))?.uncompared;
    t.match(told, /could be compared with: aws-kms-0123456789abcdef\/Manifest\/head is not this node's/, what);
    await stop();
  }
  const backup = await copyAll(node.backup);
  await backup.put(['folder-of-nobody', 'Manifest', 'head'], Uint8Array.of(1));
  const { link } = await start(t, await copyAll(node.vault), backup);
  t.equal((await backupOf(await link()))?.uncompared, '', 'nor do names that no key has');
});

t.test('every folder remembers, also that of a key which seals no more', async (t) => {
  const former = 'aws-kms-fedcba9876543210';
  const backup = openMemoryStorage();
  await backup.put([former, 'Manifest', 'head'], await node.backup.get(HEAD));
  const { engine } = await start(t, await copyAll(node.old.vault), backup);
  t.match(engine.facts, { restoreReason: new RegExp(`its backup in ${former} has state`) });
});

/** A storage that does not answer until it is told to. */
function awayAtFirst(inner: Storage) {
  let isAway = true;
  const answer = <T>(from: () => Promise<T>): Promise<T> =>
    isAway ? Promise.reject(new KmsError('UNAVAILABLE', 'no answer')) : from();
  const storage: Storage = {
    ...inner,
    list: (path) => answer(() => inner.list(path)),
    getTagged: (path, maxBytes) => answer(() => inner.getTagged(path, maxBytes)),
  };
  const comeBack = (): void => {
    isAway = false;
  };
  return { storage, comeBack };
}

t.test('a backup that is away at the start is told, and asked before the first copy', async (t) => {
  const { storage, comeBack } = awayAtFirst(await copyAll(node.backup));
  const { engine, link: connect } = await start(t, await copyAll(node.vault), storage);
  const link = await connect();
  t.notOk(engine.facts.awaitsRestore, 'the node serves');
  t.match(await backupOf(link), { uncompared: /the backup storage does not answer/ });
  comeBack();
  await complete(link);
  t.match(await backupOf(link), { uncompared: '', behind: 0n });
});

t.test('an engine that finds out later that its vault was put back ends, and copies nothing', async (t) => {
  const backup = await copyAll(node.backup);
  const { storage, comeBack } = awayAtFirst(backup);
  const { engine, link } = await start(t, await copyAll(node.old.vault), storage);
  comeBack();
  await complete(await link());
  t.match(await engine.failed, { code: 'STATE_INVALID', message: /the private vault was put back/ });
  t.same(await backup.get(HEAD), await node.backup.get(HEAD));
});
