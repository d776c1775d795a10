/**
 * Opens a backup for reading: whose it is, and to which state it is complete. SECRET: the node's signing key, on its way into
 * native memory.
 *
 * Storage may hold whatever its owner likes. The signing key is opened first; a key of another address ends it there, and
 * whatever that key did not sign counts for nothing. Format: docs/formats/backup.md.
 */
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type * as Native from '../../native/engine/index.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { Storage } from '../../storage/storage.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { decodePrivateSigKey } from '../../wire/signing-keys.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import {
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestPoint,
  manifestSigner,
  peekManifest,
  readManifest,
} from '../seal/manifest.ts';
import { objectSigner } from '../seal/object-signatures.ts';
import { openWhole } from '../seal/open-object.ts';
import { peekHead } from '../seal/peek-head.ts';
import { copyOf, type ObjectOwner } from './object-owner.ts';

/** Name of the node's signing key. */
export const SIGNING_KEY_NAME = `SigningKey/${SIGNING_KEY_ID}`;

/** A backup whose manifest is the node's. */
export interface FoundBackup {
  /** Of its keyring alone. */
  readonly storage: Storage;
  readonly manifest: Manifest;
  readonly owner: ObjectOwner;
  readonly key: NodeKey;
}

const HEAD = ['Manifest', 'head'];
const MAX_KEY_BYTES = 4_096;

/**
 * Opens the backup of a node whose key is known.
 *
 * @throws KmsError `NOT_FOUND` if there is none; `STATE_INVALID` with fact `fault` as {@link readManifest}.
 */
export async function findBackup(storage: Storage, key: NodeKey, owner: ObjectOwner): Promise<FoundBackup> {
  return { storage, manifest: readAs(key, await headOf(storage), owner), owner, key };
}

/** What the signing key is found with. */
export interface KeySearch {
  readonly storage: Storage;
  readonly keyring: DataKeyring;
  readonly owner: ObjectOwner;
  /** The party's address in the governed record, 20 bytes. */
  readonly address: Uint8Array;
  readonly native: Pick<typeof Native, 'NodeKey'>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the backup of a node that has lost its key, and with it the key, which the caller disposes of.
 *
 * @throws KmsError `NOT_FOUND` if there is none; `STATE_INVALID` with fact `fault`: `other-node` for a key of another address,
 *   `no-signing-key`, those of manifests and of sealed objects; what the keyring throws.
 */
export async function findBackupAndKey(search: KeySearch): Promise<FoundBackup> {
  const { storage, owner } = search;
  const head = await headOf(storage);
  const key = await openKey(search, peekManifest(head));
  try {
    return { storage, manifest: readAs(key, head, owner), owner, key };
  } catch (error) {
    key.dispose();
    throw error;
  }
}

/**
 * Checks that a backup is complete to a state that somebody remembers, or a later one.
 *
 * @returns The state that it is complete to.
 * @throws KmsError `STATE_INVALID` with fact `fault` = `incomplete`: it never was complete, or to an older state only; `forked`.
 */
export function checkComplete({ source }: Manifest, remembered: ManifestPoint | undefined): ManifestPoint {
  if (source === undefined) {
    throw backupFault('incomplete', 'it was never complete: its first copy did not come to an end');
  }
  if (remembered === undefined || source.sequence > remembered.sequence) return source;
  if (source.sequence < remembered.sequence) {
    const states = `it is complete to state ${source.sequence} of the vault, and state ${remembered.sequence} is remembered`;
    throw backupFault('incomplete', states);
  }
  if (!equalBytes(source.digest, remembered.digest)) {
    throw backupFault(
      'forked',
      `it is of another state ${source.sequence} of the vault than the one that is remembered`,
    );
  }
  return source;
}

async function headOf(storage: Storage): Promise<Uint8Array> {
  try {
    return await storage.get(HEAD, MAX_MANIFEST_BYTES);
  } catch (error) {
    if (!isKmsError(error, 'NOT_FOUND')) throw error;
    throw new KmsError('NOT_FOUND', 'there is no backup under this key', {}, error);
  }
}

function readAs(key: NodeKey, head: Uint8Array, { charterDigest, party }: ObjectOwner): Manifest {
  return readManifest(head, {
    purpose: 'backup-object',
    charterDigest,
    party,
    signer: manifestSigner(key).publicKey,
  });
}

async function openKey(search: KeySearch, unchecked: Manifest | undefined): Promise<NodeKey> {
  const { storage, keyring, owner, address, native, signal } = search;
  const { version, writing } = unchecked?.entries.get(SIGNING_KEY_NAME) ?? {};
  if (version === undefined || writing === undefined) {
    throw backupFault('no-signing-key', 'its manifest names no signing key');
  }
  const path = [...SIGNING_KEY_NAME.split('/'), writing.place];
  const claimed = await peekHead(storage, path);
  if (claimed === undefined) throw backupFault('no-signing-key', 'what lies there is no sealed object');
  const asked = { ...copyOf(owner.describe(SIGNING_KEY_NAME)), signer: claimed.signer, notBefore: version };
  const { stream } = await storage.open(path);
  const opener = { keyring, maxBytes: MAX_KEY_BYTES, ...(signal && { signal }) };
  const content = await openWhole(stream, { ...asked, digest: writing.digest }, opener);
  let key: NodeKey;
  try {
    key = native.NodeKey.fromBytes(decodePrivateSigKey(content));
  } finally {
    content.fill(0);
  }
  try {
    if (!equalBytes(key.address, address)) {
      const [found, expected] = [formatAddress(key.address), formatAddress(address)];
      const message = `its signing key is that of ${found}, and the governed record names ${expected}`;
      throw backupFault('other-node', message, { found, expected });
    }
    if (equalBytes(objectSigner(key).publicKey, claimed.signer)) return key;
    throw backupFault('other-node', 'its signing key was sealed by another node');
  } catch (error) {
    key.dispose();
    throw error;
  }
}

/** The failure of a backup that is refused as a whole. Names of faults never change. */
export function backupFault(
  fault: 'incomplete' | 'forked' | 'other-node' | 'no-signing-key' | 'damaged',
  why: string,
  facts: Readonly<Record<string, string | number>> = {},
): KmsError {
  return new KmsError('STATE_INVALID', `the backup is refused: ${why}`, { ...facts, fault, faults: fault });
}
