/**
 * Restores a private vault out of its backup. SECRET: content passes through, from one sealed stream into another.
 *
 * It only adds. The signing key is opened first (found-backup.ts), everything is checked before anything is written, and
 * the signing key is written last: a vault that was restored by half is none to start with, and the same call goes on with it.
 */

import { isKmsError, KmsError } from '../../common/errors.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import { type ManifestEntry, type ManifestPoint, manifestSigner, peekManifest } from '../seal/manifest.ts';
import { ManifestHead } from '../seal/manifest-head.ts';
import { objectSigner } from '../seal/object-signatures.ts';
import { verifyObject } from '../seal/open-object.ts';
import { SealedStore } from '../seal/sealed-store.ts';
import { backupFault, checkComplete, type FoundBackup, SIGNING_KEY_NAME } from './found-backup.ts';
import { copyOf } from './object-owner.ts';
import { isWritten, type PlannedObject, planRestore } from './restore-plan.ts';
import { type BackupReport, verifyBackup } from './verify-backup.ts';

/** A private vault that is restored into. */
export interface RestoreTarget {
  readonly storage: Storage;
  readonly head: ManifestHead;
  readonly store: SealedStore;
}

/** What is restored, and where to. */
export interface RestoreParts {
  readonly backup: FoundBackup;
  /** Opens the backup. */
  readonly keyring: DataKeyring;
  readonly target: RestoreTarget;
  /** The newest state of the vault that anybody remembers, if anybody does. */
  readonly remembered?: ManifestPoint | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Done when all but the signing key is there. No engine starts from the vault without that key, so none starts without this. */
  readonly beforeKey?: ((target: RestoreTarget) => Promise<void>) | undefined;
}

/** What a restore does, or would do. */
export interface RestorePlan {
  /** State of the lost vault that the backup is complete to. */
  readonly source: ManifestPoint;
  readonly objects: readonly PlannedObject[];
  readonly report: BackupReport;
}

/**
 * Returns what {@link restoreBackup} would do, having checked everything that it checks.
 *
 * @throws KmsError `STATE_INVALID` with fact `fault`: `incomplete`, `forked`, or `damaged`, which names all objects at fault.
 */
export async function planOf({ backup, target, remembered, signal }: RestoreParts): Promise<RestorePlan> {
  const { manifest } = backup;
  const source = checkComplete(manifest, remembered);
  const report = await verifyBackup(backup, signal);
  if (report.faulty.length > 0) {
    const named = report.faulty.map(({ object, faults }) => `${object} (${faults})`).join(', ');
    throw backupFault('damaged', `these objects cannot be restored: ${named}`, { objects: report.faulty.length });
  }
  const entries = target.head.entries();
  const isWhole = (name: string): Promise<boolean> => isThere(backup, target, name, entries.get(name));
  return { source, objects: await planRestore(manifest, { entries, isWhole }, SIGNING_KEY_NAME), report };
}

/**
 * Adds what is missing.
 *
 * @returns What was done.
 * @throws KmsError As {@link planOf}; `ABORTED` if another server writes this vault; what storage and keyrings throw. The
 *   same call goes on where one ended.
 */
export async function restoreBackup(parts: RestoreParts): Promise<RestorePlan> {
  const { backup, target, keyring, signal, beforeKey } = parts;
  const plan = await planOf(parts);
  // A new vault says from its first state on what it was restored from.
  if (target.head.point === undefined) await target.head.advance(new Map(), { source: plan.source });
  const { store, describe } = readerOf(backup, keyring);
  const add = async ({ object, version, versionHere = 0 }: PlannedObject): Promise<void> =>
    await store.read(
      copyOf(describe(object)),
      async (content, { sizeBytes, compression }) => {
        const size = sizeBytes === undefined ? {} : { sizeBytes };
        // Above every version that ever was, so that no older writing of the lost vault comes back.
        const options = { version: Math.max(version, versionHere) + 1, compressible: compression !== 'none' };
        await target.store.put(describe(object), content, { ...size, ...options, ...(signal && { signal }) });
      },
      signal,
    );
  const written = plan.objects.filter(isWritten);
  for (const planned of written) if (planned.object !== SIGNING_KEY_NAME) await add(planned);
  await beforeKey?.(target);
  for (const planned of written) if (planned.object === SIGNING_KEY_NAME) await add(planned);
  return plan;
}

/** What a vault that nobody serves is opened with, to restore into it. */
export interface IdleVault {
  readonly storage: Storage;
  /** Seals what is restored. */
  readonly keyring: DataKeyring;
  readonly needsFence: boolean;
  readonly onLeftover: (path: ObjectPath, error: unknown) => void;
}

/**
 * Opens a private vault that no engine serves: empty, or restored by half.
 *
 * @throws KmsError As {@link ManifestHead.open}: `STATE_INVALID` for a vault that is not this node's.
 */
export async function openIdleVault(
  { storage, keyring, needsFence, onLeftover }: IdleVault,
  { key, owner, manifest }: FoundBackup,
): Promise<RestoreTarget> {
  const { charterDigest, party } = owner;
  const signer = manifestSigner(key);
  const asked = { purpose: 'private-object', charterDigest, party, signer: signer.publicKey } as const;
  const incarnation = Math.max(manifest.incarnation, await incarnationOf(storage));
  const head = await ManifestHead.open({ storage, signer, asked, incarnation, needsFence });
  const store = new SealedStore({ storage, head, sealer: { signer: objectSigner(key), keyring }, onLeftover });
  return { storage, head, store };
}

/** The restore goes on as the engine that was there last; whatever is claimed here is checked when the head is opened. */
async function incarnationOf(storage: Storage): Promise<number> {
  try {
    return peekManifest(await storage.get(['Manifest', 'head']))?.incarnation ?? 1;
  } catch (error) {
    if (isKmsError(error, 'NOT_FOUND')) return 1;
    throw error;
  }
}

/** The backup as a store that is only read. */
function readerOf({ storage, manifest, key, owner }: FoundBackup, keyring: DataKeyring) {
  const readOnly = async (): Promise<never> => {
    throw new KmsError('INTERNAL', 'a backup that is restored is not written');
  };
  const store = new SealedStore({
    storage,
    head: { entry: (name) => manifest.entries.get(name), nextVersion: () => 1, advance: readOnly },
    sealer: { signer: objectSigner(key), keyring },
    onLeftover: () => undefined,
  });
  return { store, describe: (name: string) => owner.describe(name) };
}

/** Whether the writing that the vault's manifest names lies there, whole. */
async function isThere(
  { key, owner }: FoundBackup,
  { storage }: RestoreTarget,
  name: string,
  entry: ManifestEntry | undefined,
): Promise<boolean> {
  if (entry?.writing === undefined) return false;
  const { place, digest } = entry.writing;
  const asked = { ...owner.describe(name), signer: objectSigner(key).publicKey, notBefore: entry.version, digest };
  try {
    const { stream } = await storage.open([...name.split('/'), place]);
    await verifyObject(stream, asked);
    return true;
  } catch (error) {
    if (isKmsError(error, 'NOT_FOUND') || isKmsError(error, 'STATE_INVALID')) return false;
    throw error;
  }
}
