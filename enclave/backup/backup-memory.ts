/**
 * The backup as a memory of the private vault: its manifest, which the node has signed, names the newest state of the vault
 * that it has all of, and never runs ahead of it. Public: nothing is opened, and no key is asked for.
 *
 * What the node did not sign says nothing, whoever wrote it, but it is told: a backup that was replaced is no memory any more.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import type { ManifestOwner } from '../seal/manifest.ts';
import type { RememberedVault } from '../vault/remembered-vault.ts';
import { findBackup } from './found-backup.ts';
import { ownerOf } from './object-owner.ts';
import { storageBelow } from './storage-below.ts';

/** What is asked. */
export interface BackupMemoryParts {
  /** With the folders of all keys that ever sealed backups: each of them remembers. */
  readonly storage: Storage;
  /** Resolves once the storage answers. */
  readonly ready?: (() => Promise<void>) | undefined;
  readonly owner: Omit<ManifestOwner, 'purpose'>;
  readonly log: Pick<Logger, 'warn' | 'error'>;
}

/** What was found in the backup. */
export interface BackupRecall {
  readonly remembered: readonly RememberedVault[];
  /** The storage did not answer: nothing is known of what lies there. */
  readonly isAway: boolean;
  /** What is not as it should be there, for people; undefined: nothing. */
  readonly trouble: string | undefined;
}

/** Folders that this or an earlier key seals in: docs/formats/backup.md. Other names are not ours. */
const FOLDER = /^(aws-kms-[0-9a-f]{16}|[0-9a-f]{64}|clear)$/;
/** Many times more than keys ever seal; whoever plants more hides what lies in them, and that is told. */
const MAX_FOLDERS = 256;

/**
 * Reads what the backup remembers.
 *
 * @throws KmsError What storage throws, but for `UNAVAILABLE` and `DEADLINE_EXCEEDED`: a backup that is away for a while does not
 *   keep its node from starting.
 */
export async function recallBackup(key: NodeKey, parts: BackupMemoryParts): Promise<BackupRecall> {
  try {
    return await readAll(key, parts);
  } catch (err) {
    if (!isKmsError(err, 'UNAVAILABLE') && !isKmsError(err, 'DEADLINE_EXCEEDED')) throw err;
    parts.log.error({ event: 'backup.not-compared', err }, 'nobody has said whether the private vault is the newest');
    return { remembered: [], isAway: true, trouble: `the backup storage does not answer: ${err.message}` };
  }
}

async function readAll(key: NodeKey, { storage, ready, owner: party, log }: BackupMemoryParts): Promise<BackupRecall> {
  await ready?.();
  const owner = ownerOf(party);
  const folders = (await storage.list([])).filter((name) => FOLDER.test(name));
  const remembered: RememberedVault[] = [];
  const troubles: string[] = [];
  if (folders.length > MAX_FOLDERS)
    troubles.push(`it has ${folders.length} folders, and ${MAX_FOLDERS} were looked at`);
  for (const folder of folders.slice(0, MAX_FOLDERS)) {
    try {
      const { manifest } = await findBackup(storageBelow(storage, folder), key, owner);
      remembered.push({ by: `its backup in ${folder}`, point: manifest.source, incarnation: manifest.incarnation });
    } catch (error) {
      if (isKmsError(error, 'NOT_FOUND')) continue;
      if (!isKmsError(error, 'STATE_INVALID') && !isKmsError(error, 'RESOURCE_EXHAUSTED')) throw error;
      troubles.push(`${folder}/Manifest/head is not this node's (${error.facts.faults ?? 'too large'})`);
    }
  }
  if (troubles.length === 0) return { remembered, isAway: false, trouble: undefined };
  const trouble = `not all of the backup could be compared with: ${troubles.join('; ')}`;
  log.warn({ event: 'backup.not-compared', err: new KmsError('STATE_INVALID', trouble) });
  return { remembered, isAway: false, trouble };
}
