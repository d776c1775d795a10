/** Where backups lie: below one folder for each key that seals them, so that another key begins another, complete backup. */
import { createHash } from 'node:crypto';
import type { ObjectPath, Storage } from '../../storage/storage.ts';

const DIGEST_DIGITS = 16;
const MAX_DEPTH = 6;

/** Returns the folder of backups under a root key of AWS KMS. Custodians' backups lie under the id of their context. */
export function folderOfRootKey(keyArn: string): string {
  return `aws-kms-${createHash('sha256').update(keyArn).digest('hex').slice(0, DIGEST_DIGITS)}`;
}

/** Returns a storage whose objects lie below a folder of another. */
export function storageBelow(storage: Storage, folder: string): Storage {
  const at = (path: ObjectPath): ObjectPath => [folder, ...path];
  return {
    get fenced() {
      return storage.fenced;
    },
    put: (path, source, options) => storage.put(at(path), source, options),
    get: (path, maxBytes) => storage.get(at(path), maxBytes),
    getTagged: (path, maxBytes) => storage.getTagged(at(path), maxBytes),
    swap: (path, content, expected, options) => storage.swap(at(path), content, expected, options),
    open: (path, range) => storage.open(at(path), range),
    has: (path) => storage.has(at(path)),
    size: (path) => storage.size(at(path)),
    list: (path) => storage.list(at(path)),
    delete: (path) => storage.delete(at(path)),
  };
}

/** Yields the paths of all objects below a folder, one after the other; a name with nothing below it is one. */
export async function* filesBelow(
  storage: Pick<Storage, 'list'>,
  folder: ObjectPath,
): AsyncGenerator<ObjectPath, void> {
  const names = folder.length < MAX_DEPTH ? await storage.list(folder) : [];
  for (const name of names) yield* filesBelow(storage, [...folder, name]);
  if (names.length === 0 && folder.length > 0) yield folder;
}
