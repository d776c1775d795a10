/**
 * What a private object says of itself once it is sealed, out of its path alone: the same in the vault and in a backup.
 */
import type { ManifestOwner } from '../seal/manifest.ts';
import type { StoredObject } from '../seal/sealed-store.ts';
import type { PrivatePath } from './private-vault.ts';

/** Returns the claims of an object in the vault of `owner`. */
export function storedObject(path: PrivatePath, { purpose, charterDigest, party }: ManifestOwner): StoredObject {
  const [type, outer, inner] = path;
  return {
    purpose,
    charterDigest,
    party,
    name: path.join('/'),
    type,
    keyId: inner,
    contextId: type === 'Context' ? outer : undefined,
    epochId: inner !== undefined || type === 'EpochData' ? outer : undefined,
    parameters: undefined,
  };
}
