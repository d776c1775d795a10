/**
 * The backup vault as its writer sees it: sealed objects under a manifest of their own, with the purpose `backup-object` and
 * a second keyring. SECRET: content passes through.
 *
 * Format: docs/formats/backup.md.
 */
import type { NodeKey } from '../../native/engine/index.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import { manifestSigner } from '../seal/manifest.ts';
import { ManifestHead } from '../seal/manifest-head.ts';
import { objectSigner } from '../seal/object-signatures.ts';
import { SealedStore, type StoredObject } from '../seal/sealed-store.ts';
import { copyOf, type ObjectOwner } from './object-owner.ts';

/** What a backup vault is made of. */
export interface BackupVaultParts {
  /** Of this keyring alone: see storage-below.ts. */
  readonly storage: Storage;
  readonly keyring: DataKeyring;
  readonly key: NodeKey;
  readonly owner: ObjectOwner;
  readonly incarnation: number;
  /** Production: only storage that keeps two servers of one party apart will do. */
  readonly needsFence: boolean;
  /** Told of what could not be removed; it counts for nobody. */
  readonly onLeftover: (path: ObjectPath, error: unknown) => void;
}

/** An open backup vault. */
export interface BackupVault {
  /** Name of its keychain. */
  readonly keychain: string;
  readonly storage: Storage;
  readonly head: ManifestHead;
  readonly store: SealedStore;
  readonly describe: (name: string) => StoredObject;
}

/**
 * Opens the backup vault, or begins one.
 *
 * @throws KmsError As {@link ManifestHead.open}.
 */
export async function openBackupVault(parts: BackupVaultParts): Promise<BackupVault> {
  const { storage, keyring, key, owner, incarnation, needsFence, onLeftover } = parts;
  const { charterDigest, party, describe } = owner;
  const signer = manifestSigner(key);
  const asked = { purpose: 'backup-object', charterDigest, party, signer: signer.publicKey } as const;
  const head = await ManifestHead.open({ storage, signer, asked, incarnation, needsFence });
  const store = new SealedStore({ storage, head, sealer: { signer: objectSigner(key), keyring }, onLeftover });
  return { keychain: keyring.name, storage, head, store, describe: (name) => copyOf(describe(name)) };
}
