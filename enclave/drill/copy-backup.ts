/**
 * Copies one folder of a backup storage to another storage, while its node goes on writing there. Reads the original, and
 * nothing else: what is copied is sealed and signed, and is checked where the copy is opened.
 */
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import { filesBelow } from '../backup/storage-below.ts';
import { MAX_MANIFEST_BYTES } from '../seal/manifest.ts';

/** What the original is read with. */
export type ReadOnly = Pick<Storage, 'get' | 'open' | 'list'>;

const HEAD = ['Manifest', 'head'];
const ATTEMPTS = 10;

/**
 * Copies everything that the manifest of the folder may name. What is written while it copies makes it look again.
 *
 * @throws KmsError `NOT_FOUND` if there is no backup; `ABORTED` if it never stood still; what the storages throw.
 */
export async function copyBackup(source: ReadOnly, folder: string, target: Storage): Promise<void> {
  const headPath = [folder, ...HEAD];
  const copied = new Set<string>();
  let head = await headOf(source, headPath);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    for await (const path of filesBelow(source, [folder])) {
      const name = path.join('/');
      if (copied.has(name) || name === headPath.join('/')) continue;
      await copyFile(source, path, target);
      copied.add(name);
    }
    const now = await headOf(source, headPath);
    if (equalBytes(now, head)) return void (await target.put(headPath, head));
    head = now;
  }
  throw new KmsError('ABORTED', 'the backup was written all the time while it was copied: try again later');
}

/** Whatever is removed while it is copied, no newer manifest names. */
async function copyFile(source: ReadOnly, path: ObjectPath, target: Storage): Promise<void> {
  try {
    const { stream } = await source.open(path);
    await target.put(path, stream);
  } catch (error) {
    if (!isKmsError(error, 'NOT_FOUND')) throw error;
  }
}

async function headOf(source: ReadOnly, path: ObjectPath): Promise<Uint8Array> {
  try {
    return await source.get(path, MAX_MANIFEST_BYTES);
  } catch (error) {
    if (!isKmsError(error, 'NOT_FOUND')) throw error;
    throw new KmsError('NOT_FOUND', 'there is no backup under this key', {}, error);
  }
}
