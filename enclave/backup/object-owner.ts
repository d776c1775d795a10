/** Whose objects a vault and its backup hold, and what each is by its name alone. */
import { KmsError } from '../../common/errors.ts';
import type { ManifestOwner } from '../seal/manifest.ts';
import type { StoredObject } from '../seal/sealed-store.ts';
import { parsePrivatePath } from '../vault/private-vault.ts';
import { storedObject } from '../vault/stored-object.ts';

/** See the file comment. */
export interface ObjectOwner {
  readonly charterDigest: Uint8Array;
  readonly party: number;
  /**
   * Returns what a private object of that name is.
   *
   * @throws KmsError `STATE_INVALID` for a name that this release gives to nothing.
   */
  readonly describe: (name: string) => StoredObject;
}

/** Returns the owner of a party's objects. */
export function ownerOf(party: Omit<ManifestOwner, 'purpose'>): ObjectOwner {
  const owner: ManifestOwner = { ...party, purpose: 'private-object' };
  return {
    ...party,
    describe: (name) => {
      const path = parsePrivatePath(name);
      if (path !== undefined) return storedObject(path, owner);
      const cure = 'use the release that wrote it';
      throw new KmsError('STATE_INVALID', `a vault holds what this release does not know: ${cure}`, { object: name });
    },
  };
}

/** Returns what the copy of a private object is. */
export function copyOf(object: StoredObject): StoredObject {
  return { ...object, purpose: 'backup-object' };
}
