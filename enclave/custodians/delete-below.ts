/** Removes a folder of a storage with all that is in it, object by object: what is left after a failure goes with the next call. */
import type { ObjectPath, Storage } from '../../storage/storage.ts';

/** See the file comment. */
export async function deleteBelow(
  storage: Pick<Storage, 'list' | 'size' | 'delete'>,
  folder: ObjectPath,
): Promise<void> {
  for (const name of await storage.list(folder)) {
    const path = [...folder, name];
    if ((await storage.size(path)) !== undefined) await storage.delete(path);
    await deleteBelow(storage, path);
  }
}
