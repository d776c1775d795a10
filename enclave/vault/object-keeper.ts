/**
 * What keeps private objects, under their paths: `clear` files of developer mode (clear-keychain.ts), or sealed ones under
 * a manifest (sealed-keeper.ts). SECRET: contents pass through.
 */
import type { ObjectPath } from '../../storage/storage.ts';
import type { PrivatePath } from './private-vault.ts';

/** See the file comment. Errors of storage and keyring pass as they are. */
export interface ObjectKeeper {
  /** Name of the keychain, shown to operators. */
  readonly name: string;
  /**
   * Writes an object, whole and durable once this returns. The caller still owns, and wipes, the content.
   *
   * @param replace - Take the place of other content; off, that is never overwritten, and equal content is left as it is.
   * @throws KmsError `ALREADY_EXISTS`, `STORAGE_FULL`; `ABORTED` if another server of the party has taken over.
   */
  put(path: PrivatePath, content: Uint8Array, replace: boolean): Promise<void>;
  /** Returns whether an object of that name is there. */
  has(path: PrivatePath): Promise<boolean>;
  /**
   * Returns an object's content in an ArrayBuffer of its own, which the caller wipes.
   *
   * @throws KmsError `NOT_FOUND`; `STATE_INVALID` if it is not whole, was changed, or is not what was asked for.
   */
  open(path: PrivatePath): Promise<Uint8Array>;
  /** Returns the sorted names directly below a folder, objects and folders alike. */
  list(folder: ObjectPath): Promise<string[]>;
  /** Removes an object. Returns whether there was one. */
  delete(path: PrivatePath): Promise<boolean>;
}
