/**
 * How private objects are protected at rest. The content of a private object is secret; what `seal` returns is what
 * storage sees.
 */
import type { ObjectPath } from '../../storage/storage.ts';

/** Protects private objects under their path, so that none can be passed off as another. */
export interface Keychain {
  /** Stable name, shown to operators. */
  readonly name: string;
  /** Returns the bytes to store. The caller still owns, and wipes, the content. */
  seal(path: ObjectPath, content: Uint8Array): Promise<Uint8Array>;
  /**
   * Returns the content of a stored object in an ArrayBuffer of its own, which the caller wipes.
   *
   * @throws KmsError `STATE_INVALID` naming the object if it is not whole, was changed, or lay under another path.
   */
  open(path: ObjectPath, sealed: Uint8Array): Promise<Uint8Array>;
}
