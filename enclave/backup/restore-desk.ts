/**
 * Where restores are asked for: of an engine that serves its vault, and of one whose vault is gone. Both do the same, with
 * the same checks; only the lost one has to find its signing key first.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type * as Native from '../../native/engine/index.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import { type ManifestOwner, type ManifestPoint, manifestDigest } from '../seal/manifest.ts';
import type { LostVault, SealedVault } from '../vault/open-vault.ts';
import { readVaultState } from '../vault/vault-state.ts';
import { findBackup, findBackupAndKey } from './found-backup.ts';
import { ownerOf } from './object-owner.ts';
import type { OpenedBackup } from './open-backup.ts';
import { openIdleVault, planOf, type RestoreParts, type RestorePlan, restoreBackup } from './restore.ts';
import { storageBelow } from './storage-below.ts';

/** What is restored. */
export interface RestoreOrder {
  /** Folder of the backup storage. */
  readonly folder: string;
  /** Opens what is in it. */
  readonly keyring: DataKeyring;
  /** Only says what would be done. */
  readonly plan: boolean;
  /** The newest state of the vault that anybody remembers. */
  readonly remembered?: ManifestPoint | undefined;
  /** See {@link RestoreParts.beforeKey}. */
  readonly beforeKey?: RestoreParts['beforeKey'];
  readonly signal?: AbortSignal | undefined;
}

/** See the file comment. */
export interface RestoreDesk {
  /** Whether the vault is gone, so that the node has to be started again once it is restored. */
  readonly lost: boolean;
  /** Address of the node, 20 bytes. */
  readonly address: Uint8Array;
  /** Restores, or plans. One at a time. @throws KmsError As `restoreBackup`, `findBackupAndKey`. */
  run(order: RestoreOrder): Promise<RestorePlan>;
}

/** The desk of an engine that serves its vault. */
export function servingDesk({
  storage,
  sealed,
  key,
}: {
  readonly storage: Storage;
  readonly sealed: SealedVault;
  readonly key: NodeKey;
}): RestoreDesk {
  return oneAtATime(false, key.address, async (order) => {
    const backup = await findBackup(storageBelow(storage, order.folder), key, ownerOf(sealed.owner));
    return await carryOut(order, { backup, target: sealed });
  });
}

/** What a lost vault is restored with. */
export interface LostDeskParts {
  readonly backup: OpenedBackup;
  readonly lost: LostVault['lost'];
  /** Charter and party of the node. */
  readonly owner: Omit<ManifestOwner, 'purpose'>;
  readonly native: Pick<typeof Native, 'NodeKey'>;
  readonly log: Logger;
}

/** The desk of an engine whose vault is gone. */
export function lostDesk({ backup: opened, lost, owner: party, native, log }: LostDeskParts): RestoreDesk {
  const owner = ownerOf(party);
  const { address } = lost;
  const onLeftover = (path: readonly string[], err: unknown): void =>
    log.warn({ event: 'restore.leftover', object: path.join('/'), err });
  return oneAtATime(true, address, async (order) => {
    await opened.ready?.();
    await requireEmptied(lost);
    const storage = storageBelow(opened.storage, order.folder);
    const { keyring, signal } = order;
    const backup = await findBackupAndKey({ storage, keyring, owner, address, native, signal });
    try {
      const idle = { storage: lost.storage, keyring: lost.keyring, needsFence: opened.needsFence, onLeftover };
      return await carryOut(order, { backup, target: await openIdleVault(idle, backup) });
    } finally {
      backup.key.dispose();
    }
  });
}

/** A restore only adds, so it would leave the old objects of a vault that was put back where they are. */
async function requireEmptied({ storage, putBack }: LostVault['lost']): Promise<void> {
  if (putBack === undefined) return;
  const { manifest } = await readVaultState(storage);
  if (manifest === undefined || !equalBytes(manifestDigest(manifest), putBack.digest)) return;
  const cure = 'remove all that lies below its prefix, and restore then; or put the newer vault back, and start again';
  throw new KmsError('PRECONDITION_FAILED', `the private vault still holds the older state: ${cure}`);
}

function carryOut(
  { plan, keyring, remembered, beforeKey, signal }: RestoreOrder,
  parts: Pick<RestoreParts, 'backup' | 'target'>,
): Promise<RestorePlan> {
  const order = { ...parts, keyring, remembered, beforeKey, signal };
  return plan ? planOf(order) : restoreBackup(order);
}

function oneAtATime(lost: boolean, address: Uint8Array, work: RestoreDesk['run']): RestoreDesk {
  let turn: Promise<unknown> = Promise.resolve();
  return {
    lost,
    address,
    run: async (order) => {
      const mine = turn.then(() => work(order));
      turn = mine.catch(() => undefined);
      return await mine;
    },
  };
}
