/**
 * Checks a whole backup without opening anything: every object is there, whole, signed by the node and the one that the
 * manifest names; and what lies there besides. No key is asked for, nothing secret is read.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { ObjectPath } from '../../storage/storage.ts';
import type { ManifestEntry } from '../seal/manifest.ts';
import { objectSigner } from '../seal/object-signatures.ts';
import { verifyObject } from '../seal/open-object.ts';
import { peekHead } from '../seal/peek-head.ts';
import { sealFaultsOf } from '../seal/seal-faults.ts';
import type { FoundBackup } from './found-backup.ts';
import { copyOf, type ObjectOwner } from './object-owner.ts';
import { filesBelow } from './storage-below.ts';

/** An object that cannot be restored. */
export interface FaultyObject {
  readonly object: string;
  /** Names of sealed-object.md, with commas; or `missing`, `other-size`, `unknown-name`. */
  readonly faults: string;
}

/** Something in the storage that the manifest does not name, and that counts for nothing. */
export interface StrayObject {
  readonly path: string;
  /** `leftover`: the node wrote it once. `planted`: it did not. */
  readonly kind: 'leftover' | 'planted';
}

/** What was found. */
export interface BackupReport {
  readonly objects: number;
  readonly bytes: number;
  readonly faulty: readonly FaultyObject[];
  readonly strays: readonly StrayObject[];
}

/** More strays than this are not looked for: there are enough. */
const MAX_STRAYS = 1_000;

/**
 * Checks everything that the manifest names.
 *
 * @throws KmsError What storage throws, but for objects that are not there; `CANCELLED`.
 */
export async function verifyBackup(backup: FoundBackup, signal?: AbortSignal): Promise<BackupReport> {
  const { manifest, storage } = backup;
  const faulty: FaultyObject[] = [];
  const named = new Set(['Manifest/head']);
  let [objects, bytes] = [0, 0];
  for (const [name, entry] of manifest.entries) {
    if (entry.writing === undefined) continue;
    refuseAborted(signal);
    named.add(`${name}/${entry.writing.place}`);
    const faults = await faultsOf(backup, name, entry);
    if (faults !== undefined) faulty.push({ object: name, faults });
    objects += 1;
    bytes += entry.writing.sizeBytes;
  }
  const strays: StrayObject[] = [];
  for await (const path of filesBelow(storage, [])) {
    if (named.has(path.join('/'))) continue;
    refuseAborted(signal);
    strays.push({ path: path.join('/'), kind: (await isOwn(backup, path)) ? 'leftover' : 'planted' });
    if (strays.length === MAX_STRAYS) break;
  }
  return { objects, bytes, faulty, strays };
}

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new KmsError('CANCELLED', 'the check of the backup was given up');
}

/** Returns what is wrong with one object; undefined: nothing. */
async function faultsOf(
  { storage, owner, key }: FoundBackup,
  name: string,
  { version, writing }: ManifestEntry,
): Promise<string | undefined> {
  if (writing === undefined) return undefined;
  const object = describeOrNot(owner, name);
  if (object === undefined) return 'unknown-name';
  const asked = { ...object, signer: objectSigner(key).publicKey, notBefore: version, digest: writing.digest };
  try {
    const { sizeBytes, stream } = await storage.open([...name.split('/'), writing.place]);
    await verifyObject(stream, asked);
    return sizeBytes === writing.sizeBytes ? undefined : 'other-size';
  } catch (error) {
    const faults = sealFaultsOf(error);
    if (faults.length > 0) return faults.join(',');
    if (isKmsError(error, 'NOT_FOUND')) return 'missing';
    throw error;
  }
}

function describeOrNot(owner: ObjectOwner, name: string) {
  try {
    return copyOf(owner.describe(name));
  } catch (error) {
    if (isKmsError(error)) return undefined;
    throw error;
  }
}

/** Whether the node signed what lies there, for this place, whichever writing it is. */
async function isOwn({ storage, owner, key }: FoundBackup, path: ObjectPath): Promise<boolean> {
  const name = path.slice(0, -1).join('/');
  const object = describeOrNot(owner, name);
  if (object === undefined) return false;
  try {
    const claimed = await peekHead(storage, path);
    if (claimed === undefined) return false;
    const { stream } = await storage.open(path);
    await verifyObject(stream, { ...object, signer: objectSigner(key).publicKey, notBefore: claimed.version });
    return true;
  } catch (error) {
    if (sealFaultsOf(error).length > 0 || isKmsError(error, 'NOT_FOUND')) return false;
    throw error;
  }
}
