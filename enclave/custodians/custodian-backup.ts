/**
 * What custodian contexts need of the backup vault. With custodians it has a folder for each context, named by its id, in
 * which everything is sealed under that context's key. Spec: kms-service 6.3, 7.4.
 */
import type { Storage } from '../../storage/storage.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { BackupKey } from '../keychain/custodians.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';

/** See the file comment. */
export interface CustodianBackup {
  /** Root of the backup storage: what is public about custodian contexts lies here. */
  readonly storage: Pick<Storage, 'put' | 'get' | 'has' | 'delete'>;
  /** Backs up under this key from now on, everything anew; undefined: nothing is backed up until there is a key again. */
  use(key: BackupKey | undefined): void;
  /**
   * Resolves once the backup is complete under the key in use.
   *
   * @throws KmsError of whatever keeps an object from being copied.
   */
  settled(): Promise<void>;
  /** Deletes the folder of a context. */
  forget(contextId: RequestId): Promise<void>;
  /**
   * Puts what is in a context's folder into the private vault; it only adds.
   *
   * @throws KmsError `STATE_INVALID` naming what cannot be restored.
   */
  restore(contextId: RequestId, keyring: DataKeyring): Promise<RestoreOutcome>;
}

/** What a restore did. */
export interface RestoreOutcome {
  /** Objects that were put into the private vault. */
  readonly restored: number;
  /** Objects that were there, with the same content. */
  readonly kept: number;
}
