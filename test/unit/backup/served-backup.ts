/** A node whose engine is only its backup, for the commands of `arca backup` and `arca restore`: real calls, a real Core. */
import { join } from 'node:path';
import type { Test } from 'tap';
import { backupCalls, restoreCall } from '../../../enclave/backup/backup-calls.ts';
import type { OpenedBackup } from '../../../enclave/backup/open-backup.ts';
import { lostDesk } from '../../../enclave/backup/restore-desk.ts';
import { startBackup } from '../../../enclave/backup/running-backup.ts';
import type { CallHandler, EngineCall } from '../../../enclave/call.ts';
import { objectSigner } from '../../../enclave/seal/object-signatures.ts';
import { vaultStatus } from '../../../enclave/start/vault-calls.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { sealedKeeper } from '../../../enclave/vault/sealed-keeper.ts';
import * as native from '../../../native/engine/index.ts';
import { writeNodeFile } from '../../../parent/cli/supervise/node-file.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { ENGINE_METHOD, type EngineMethod } from '../../../wire/frames.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import type { ScriptedEngine } from '../core/scripted-engine.ts';
import { startTestCore } from '../core/test-core.ts';
import {
  BACKUP_KEYRING,
  filledVault,
  log,
  NODE,
  OWNER,
  PRIMARY_KEYRING,
  standingClock,
  type vaultIn,
} from './backup-scene.ts';

const SERVED_ADDRESS = '0x6370eF2f4Db3611D657b90667De398a2Cc2a370C';

/** Folder of the backups of these tests. */
export const FOLDER = 'aws-kms-0011223344556677';

/** A backup storage whose key is at hand. */
export function openedIn(storage = openMemoryStorage(), change: Partial<OpenedBackup> = {}): OpenedBackup {
  const key = { folder: FOLDER, keychain: BACKUP_KEYRING.name, keyring: async () => BACKUP_KEYRING };
  return { storage, key, needsFence: false, close: () => undefined, ...change };
}

/** An engine's vault with its backup. */
export async function runningBackup(t: Pick<Test, 'teardown'>, opened = openedIn()) {
  const filled = await filledVault();
  const { vault, sealed } = sealedFaces(filled);
  const clock = standingClock();
  const backup = await startBackup({ opened, sealed, vault, key: NODE, incarnation: 1, native, clock, log });
  t.teardown(() => backup.close());
  const status = vaultStatus({ party: OWNER.party, incarnation: 1, keychain: 'first', sealed, start: undefined });
  return {
    filled,
    vault,
    backup,
    clock,
    opened,
    calls: { ...backupCalls(backup, true), [ENGINE_METHOD.vaultStatus]: status },
  };
}

function sealedFaces({ head, store, storage }: Awaited<ReturnType<typeof vaultIn>>) {
  const owner = { purpose: 'private-object', charterDigest: OWNER.charterDigest, party: OWNER.party } as const;
  const sealer = { signer: objectSigner(NODE), keyring: PRIMARY_KEYRING };
  const sealed = { head, store, sealer, storage, owner, keyPolicyHash: undefined };
  return { sealed, vault: new PrivateVault(sealedKeeper({ name: 'first', head, store, owner })) };
}

/** The calls of an engine that has lost its vault, and the storage that it restores into. */
export function lostCalls(opened: OpenedBackup) {
  const lost = { storage: openMemoryStorage(), keyring: PRIMARY_KEYRING, address: NODE.address };
  const owner = { charterDigest: OWNER.charterDigest, party: OWNER.party };
  const desk = lostDesk({ backup: opened, lost, owner, native, log });
  return { storage: lost.storage, calls: { [ENGINE_METHOD.restore]: restoreCall(desk, () => opened.key) } };
}

/** Makes a call as the link does. */
export async function callEngine(
  calls: Readonly<Partial<Record<EngineMethod, CallHandler>>>,
  method: EngineMethod,
  body: Uint8Array = new Uint8Array(),
): Promise<Uint8Array> {
  const handler = calls[method];
  if (handler === undefined) throw new Error('no handler');
  const rest: Omit<EngineCall, 'body'> = {
    evidence: new Uint8Array(),
    signal: new AbortController().signal,
    report: () => undefined,
    objects: { store: async () => Promise.reject(new Error('not asked for')) },
  };
  return await handler({ body, ...rest });
}

/** What is said of a node, and whether it has a backup vault. */
export interface ServedNode {
  readonly address?: string;
  readonly network?: string;
  readonly hasBackupVault?: boolean;
}

/** Serves calls behind a Core. @returns The state folder, for `--dir`, and the engine, for other answers. */
export async function serveCalls(
  t: Test,
  calls: Readonly<Partial<Record<EngineMethod, CallHandler>>>,
  { hasBackupVault = false, address = SERVED_ADDRESS, network = 'dev:test' }: ServedNode = {},
): Promise<{ readonly dir: string; readonly engine: ScriptedEngine }> {
  const dir = tempDir(t);
  const adminSocketPath = join(dir, 'run', 'admin.sock');
  const { core, engine } = await startTestCore(t, { insecure: false, hasBackupVault, access: { adminSocketPath } });
  for (const method of Object.values(ENGINE_METHOD)) {
    if (calls[method]) engine.answers.set(method, (body) => callEngine(calls, method, body));
  }
  await writeNodeFile(dir, {
    pid: process.pid,
    clientUrl: `http://127.0.0.1:${core.address.port}`,
    publicUrl: 'http://127.0.0.1:1/kms/PUB',
    opsUrl: 'http://127.0.0.1:1',
    params: 'test',
    engineSocket: '/none',
    adminSocket: adminSocketPath,
    startedAt: new Date(0).toISOString(),
    version: '0.0.0',
    developerMode: false,
    authorizationPolicy: 'operator-trusted',
    address,
    network,
    release: '1',
  });
  return { dir, engine };
}
