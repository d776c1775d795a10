/**
 * The backup of an engine that serves: follows the vault, and answers what operators and custodians ask of it. SECRET:
 * contents pass through the parts that it is made of.
 */
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type * as Native from '../../native/engine/index.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import { CUSTODIANS } from '../keychain/custodians.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { SealedVault } from '../vault/open-vault.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import type { Comparison } from './attached-backup.ts';
import { openBackupVault } from './backup-vault.ts';
import { rehearse } from './drill.ts';
import { type DrillRecord, readDrill, writeDrill } from './drill-record.ts';
import { BackupFollower, type BackupPlace, type FollowerStatus } from './follow-vault.ts';
import { type FoundBackup, findBackup } from './found-backup.ts';
import { ownerOf } from './object-owner.ts';
import type { OpenedBackup, SealingKey } from './open-backup.ts';
import { type RestoreDesk, servingDesk } from './restore-desk.ts';
import { storageBelow } from './storage-below.ts';

/** What a running backup is made of. */
export interface RunningBackupParts {
  readonly opened: OpenedBackup;
  /** Of the vault with this backup; absent: there is nothing to compare. */
  readonly comparison?: Comparison | undefined;
  readonly sealed: SealedVault;
  readonly vault: PrivateVault;
  readonly key: NodeKey;
  readonly incarnation: number;
  readonly native: Pick<typeof Native, 'NodeKey'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** See the file comment. */
export interface RunningBackup {
  readonly opened: OpenedBackup;
  readonly desk: RestoreDesk;
  /** The key that seals now; undefined while there is none. */
  key(): SealingKey | undefined;
  /** Another key seals from now on, everything anew; undefined: nothing until there is a key again. */
  use(key: SealingKey | undefined): void;
  /** Resolves once the backup is as the vault is now. @throws KmsError What keeps it from being so. */
  settled(): Promise<void>;
  status(): FollowerStatus & {
    readonly drill: DrillRecord | undefined;
    /** See {@link Comparison.trouble}. */
    readonly uncompared: string | undefined;
  };
  /** The backup under the key that seals now. @throws KmsError `PRECONDITION_FAILED` while there is none; as `findBackup`. */
  find(): Promise<FoundBackup>;
  /**
   * Rehearses a restore in memory and records how it went.
   *
   * @throws KmsError `PRECONDITION_FAILED`, and nothing is recorded, if custodians have the key; what recording throws.
   */
  drill(signal?: AbortSignal): Promise<DrillRecord>;
  /** Records how a rehearsal went that another process made. @throws KmsError What recording throws. */
  recordDrill(outcome: Omit<DrillRecord, 'timeMs'>): Promise<DrillRecord>;
  close(): Promise<void>;
}

/** Starts to follow the vault. */
export async function startBackup(parts: RunningBackupParts): Promise<RunningBackup> {
  const { opened, sealed, vault, key: node, native, clock, log } = parts;
  const { storage } = opened;
  const owner = ownerOf(sealed.owner);
  let current = opened.key;
  let drilled = await readDrill(vault);
  const follower = new BackupFollower({
    vault: { head: sealed.head, store: sealed.store, describe: owner.describe },
    place: current && placeOf(parts, current),
    clock,
    log,
  });
  const unfollow = sealed.head.follow(() => follower.changed());
  follower.changed();

  const find = async (): Promise<FoundBackup> =>
    await findBackup(storageBelow(storage, mustBe(current).folder), node, owner);
  const attempt = async (signal: AbortSignal | undefined) => {
    await follower.complete();
    const { folder, keyring } = mustBe(current);
    const search = { storage: storageBelow(storage, folder), keyring: await keyring(), owner, native, signal };
    return await rehearse({ ...search, address: node.address, sealed });
  };
  const recordDrill = async (outcome: Omit<DrillRecord, 'timeMs'>): Promise<DrillRecord> => {
    const record = { ...outcome, timeMs: clock.nowMs() };
    await writeDrill(vault, record);
    drilled = record;
    log.info({ event: 'backup.drill', ...record });
    return record;
  };
  return {
    opened,
    desk: servingDesk({ storage, sealed, key: node }),
    key: () => current,
    use: (key) => {
      current = key;
      follower.use(key && placeOf(parts, key));
    },
    settled: () => follower.complete(),
    status: () => ({ ...follower.status(), drill: drilled, uncompared: parts.comparison?.trouble() }),
    find,
    drill: async (signal) => {
      if (current?.keychain === CUSTODIANS) {
        const cure = 'rehearse a recovery on a second node';
        throw new KmsError('PRECONDITION_FAILED', `the key of this backup is with its custodians: ${cure}`);
      }
      const startedMs = clock.monotonicMs();
      const outcome = await attempt(signal).then(
        (result) => ({ ...result, failure: undefined }),
        (error: unknown) => {
          log.error({ event: 'backup.drill-failed', err: error });
          return { objects: 0, bytes: 0, failure: isKmsError(error) ? error.code : ('INTERNAL' as const) };
        },
      );
      return await recordDrill({ ...outcome, tookMs: Math.round(clock.monotonicMs() - startedMs) });
    },
    recordDrill,
    close: async () => {
      unfollow();
      await follower.close();
    },
  };
}

function placeOf(parts: RunningBackupParts, sealing: SealingKey): BackupPlace {
  const { opened, comparison, sealed, key, incarnation, log } = parts;
  const { folder, keychain } = sealing;
  const onLeftover = (path: readonly string[], err: unknown): void =>
    log.warn({ event: 'backup.leftover', object: path.join('/'), err });
  const open = async (keyring: DataKeyring) =>
    await openBackupVault({
      storage: storageBelow(opened.storage, folder),
      keyring,
      key,
      owner: ownerOf(sealed.owner),
      incarnation,
      needsFence: opened.needsFence,
      onLeftover,
    });
  return {
    folder,
    keychain,
    open: async () => {
      await opened.ready?.();
      await comparison?.complete(sealed, key, incarnation);
      return await open(await sealing.keyring());
    },
  };
}

function mustBe(key: SealingKey | undefined): SealingKey {
  if (key !== undefined) return key;
  const cure = 'make a custodian context first';
  throw new KmsError('PRECONDITION_FAILED', `nothing seals backups yet: ${cure}`);
}
