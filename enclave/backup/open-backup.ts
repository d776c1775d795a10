/** How an engine comes to its backup vault; the main modules say which storage and which keychain. */
import type { Storage } from '../../storage/storage.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { VaultParts } from '../vault/open-vault.ts';

/** A key that seals backups. */
export interface SealingKey {
  /** Its folder below the backup storage: storage-below.ts. */
  readonly folder: string;
  /** Name of its keychain. */
  readonly keychain: string;
  /**
   * Opens it; asked for again after a failure. Whoever opened it closes it with the backup.
   *
   * @throws KmsError What keeps it from being used.
   */
  readonly keyring: () => Promise<DataKeyring>;
}

/** The backup storage, and what seals in it. */
export interface OpenedBackup {
  /** With all folders. */
  readonly storage: Storage;
  /** Resolves once the storage answers, where it may be away when the engine starts. @throws KmsError `UNAVAILABLE` until then. */
  readonly ready?: (() => Promise<void>) | undefined;
  /** Undefined: custodians have it, and say which. */
  readonly key: SealingKey | undefined;
  /** Production: only storage that keeps servers on different machines apart will do. */
  readonly needsFence: boolean;
  close(): void;
}

/** Opens the backup vault. @throws KmsError `CONFIG_INVALID`, and what storage throws. */
export type OpenBackup = (parts: VaultParts) => Promise<OpenedBackup>;
