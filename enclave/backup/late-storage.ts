/**
 * A backup storage that may be away when the engine starts: the engine serves, the backup is behind and says so, and the
 * storage is opened once it answers. What is wrong with it for good (no such bucket, no permission) still ends the start.
 */
import { isKmsError } from '../../common/errors.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';

/** A storage that is opened late, and what waits for it. */
export interface LateStorage {
  /** Each call opens it first; `fenced` is known once {@link ready} has returned. */
  readonly storage: Storage;
  /** Opens it if it is not open yet. @throws KmsError `UNAVAILABLE` while it is away, and what opening throws. */
  ready(): Promise<void>;
  close(): void;
}

/** What is opened. */
interface Opened {
  readonly storage: Storage;
  close(): void;
}

/**
 * Opens a storage now if it answers, later if it does not.
 *
 * @param onAway - Told if it does not answer now.
 * @throws KmsError What opening throws, but for `UNAVAILABLE` and `DEADLINE_EXCEEDED`.
 */
export async function openLate(open: () => Promise<Opened>, onAway: (error: unknown) => void): Promise<LateStorage> {
  let known: Opened | undefined;
  let opening: Promise<Opened> | undefined;
  let closed = false;
  const get = async (): Promise<Storage> => {
    if (known !== undefined) return known.storage;
    opening ??= open().finally(() => {
      opening = undefined;
    });
    const opened = await opening;
    if (known === undefined && closed) opened.close();
    known ??= opened;
    return known.storage;
  };
  try {
    await get();
  } catch (error) {
    if (!isKmsError(error, 'UNAVAILABLE') && !isKmsError(error, 'DEADLINE_EXCEEDED')) throw error;
    onAway(error);
  }
  const storage: Storage = {
    get fenced() {
      return known?.storage.fenced ?? false;
    },
    put: async (path, source, options) => (await get()).put(path, source, options),
    get: async (path, maxBytes) => (await get()).get(path, maxBytes),
    getTagged: async (path, maxBytes) => (await get()).getTagged(path, maxBytes),
    swap: async (path, content, expected, options) => (await get()).swap(path, content, expected, options),
    open: async (path, range) => (await get()).open(path, range),
    has: async (path) => (await get()).has(path),
    size: async (path: ObjectPath) => (await get()).size(path),
    list: async (path) => (await get()).list(path),
    delete: async (path) => (await get()).delete(path),
  };
  return {
    storage,
    ready: async () => void (await get()),
    close: () => {
      closed = true;
      known?.close();
    },
  };
}
