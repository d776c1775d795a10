/**
 * A restore of this node's backup, whole, on a copy: the backup is copied, a vault that is gone is opened beside it, restored
 * as `arca restore` does, closed, and opened again with everything in it as at a start. The node serves meanwhile.
 *
 * SECRET: what is restored passes through, sealed at rest under the root key of the node. Nothing here speaks to other
 * parties, takes a lease of the node's, or writes elsewhere than into the folder it was given.
 */
import { charterDigest } from '../../attestation/governance/index.ts';
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import type { VaultStorage } from '../../common/node-config-vaults.ts';
import * as native from '../../native/engine/index.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { configuredBackup } from '../backup/backup-of-config.ts';
import type { RestorePlan } from '../backup/restore.ts';
import { lostDesk } from '../backup/restore-desk.ts';
import { isWritten } from '../backup/restore-plan.ts';
import type { AttestedImport } from '../import/attested-import.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { VaultParts } from '../vault/open-vault.ts';
import { configuredVault } from '../vault/vault-of-config.ts';
import { copyBackup } from './copy-backup.ts';
import type { DrillJob } from './drill-job.ts';
import { type OpenedAgain, openAgain } from './open-again.ts';

/** What a drill is made with. */
export interface DrillParts {
  /** The node's configuration and charter, and the security module of this process. */
  readonly attested: AttestedImport;
  /** The keychain `clear`, in which backups of developer mode may lie. */
  readonly clear: DataKeyring;
  /** Told of each step, for people. */
  readonly onStep: (step: DrillStep) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Steps of a drill, in order. */
export type DrillStep = 'copying' | 'planning' | 'restoring' | 'starting';

/** What was rehearsed. */
export interface Drilled extends OpenedAgain {
  readonly objects: number;
  readonly bytes: number;
}

/**
 * See the file comment.
 *
 * @throws KmsError What would keep the node from being restored, or the restored node from starting.
 */
export async function drill(job: DrillJob, parts: DrillParts): Promise<Drilled> {
  const { attested, onStep, clock, log } = parts;
  const { config: node } = attested;
  const { aws, backup_vault: original, private_vault: own } = node;
  if (original === undefined) throw new KmsError('UNIMPLEMENTED', 'this node has no backup vault');
  const at = (name: string) => ({ file: { path: job.folder, prefix: name } });
  const copied = { ...original, storage: at('backup') };
  const copy = { ...node, private_vault: { ...own, storage: at('private'), pin: undefined }, backup_vault: copied };
  await using held = new AsyncDisposableStack();
  const open = async (storage: VaultStorage): Promise<Storage> => {
    const opened = await openVaultStorage(storage, { aws, folderMode: 0o700, readOnly: true, log });
    held.defer(() => opened.close());
    return opened.storage;
  };
  onStep('copying');
  await copyBackup(await open(original.storage), job.backup, await open(copied.storage));

  const { nsm, document } = await attested.engine();
  const files = await attested.files();
  const onLost = (err: KmsError): void => log.error({ event: 'drill.lost', err });
  const opening: VaultParts = { native, nsm, document, ...files, onLost, clock, log };
  const written = (await restoreInto(copy, job, opening, parts)).objects.filter(isWritten);

  onStep('starting');
  const opened = await configuredVault(copy, { log })(opening);
  held.defer(() => opened.close());
  if ('lost' in opened)
    throw new KmsError('STATE_INVALID', 'the vault was restored, and is taken for one that is gone');
  held.defer(() => opened.key?.dispose());
  const { vault } = opened;
  const published = await open(node.public_vault.storage);
  const isParty = node.threshold !== undefined;
  const again = await openAgain({ vault, charter: files.charter, isParty, published, clock, log });
  return { objects: written.length, bytes: written.reduce((sum, { bytes }) => sum + bytes, 0), ...again };
}

/** Restores as an engine does whose vault is gone. */
async function restoreInto(
  copy: NodeConfig,
  { backup: folder, head: remembered }: DrillJob,
  opening: VaultParts,
  { clear, onStep, log }: DrillParts,
): Promise<RestorePlan> {
  await using held = new AsyncDisposableStack();
  const empty = await configuredVault(copy, { log })(opening);
  held.defer(() => empty.close());
  if (!('lost' in empty)) {
    held.defer(() => empty.key?.dispose());
    throw new KmsError('STATE_INVALID', 'the governed record names no address for this party: enrol it first');
  }
  const backup = await configuredBackup(copy, { log, clear })?.(opening);
  held.defer(() => backup?.close());
  const sealing = backup?.key;
  if (backup === undefined || sealing === undefined) {
    throw new KmsError('PRECONDITION_FAILED', 'custodians have the key of this backup: rehearse with them');
  }
  const { charter } = opening;
  const owner = { charterDigest: charterDigest(charter), party: charter.party };
  const desk = lostDesk({ backup, lost: empty.lost, owner, native, log });
  onStep('planning');
  const order = { folder, keyring: await sealing.keyring(), remembered };
  await desk.run({ ...order, plan: true });
  onStep('restoring');
  return await desk.run({ ...order, plan: false });
}
