/**
 * One vault of another node, as an import reads it: a folder, or a prefix of a bucket. Nothing in it is ever changed.
 *
 * SECRET in so far as its owner kept it in clear: what is read of a private vault.
 */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isKmsError, KmsError, systemErrorCode } from '../../common/errors.ts';
import type { Storage } from '../../storage/storage.ts';
import { fetchedPublicFiles, type PublicFiles, publicFilesAt, type ReadableVault } from '../keys/public-files.ts';
import { readSecretFile } from './secret-file.ts';

/** Where an object lies, outermost folder first. */
type Path = readonly string[];

/** See the file comment. */
export interface ForeignStore {
  /**
   * Returns the names in a folder, sorted.
   *
   * @throws KmsError `NOT_FOUND` without such a folder; `REQUEST_INVALID` for an object where an epoch's folder should be.
   */
  names(folder: Path): Promise<readonly string[]>;
  /**
   * Returns an object in an ArrayBuffer of its own, which the caller wipes.
   *
   * @throws KmsError `NOT_FOUND`; `KEY_INVALID`, `RESOURCE_EXHAUSTED` for what is larger or no object.
   */
  read(path: Path, maxBytes: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Gives an object's bytes. @throws KmsError `NOT_FOUND`. */
  stream(path: Path): AsyncIterable<Uint8Array>;
  /** Its public objects as files, for kernels that take nothing else. */
  readonly files: PublicFiles;
}

const READ_BYTES = 1024 * 1024;

/** Returns the vault in a folder, its prefix included. */
export function folderStore(folder: string): ForeignStore {
  const pathOf = (path: Path): string => join(folder, ...path);
  return {
    names: (path) => namesIn(pathOf(path)),
    read: (path, maxBytes) => readSecretFile(pathOf(path), maxBytes),
    stream: (path) => readFile(pathOf(path)),
    files: publicFilesAt((...path) => pathOf(path)),
  };
}

/** Gives the bytes of a file. @throws KmsError `NOT_FOUND`. */
export async function* readFile(path: string): AsyncIterable<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: READ_BYTES });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    throw new KmsError('NOT_FOUND', `${path} cannot be read: ${code}`);
  }
}

/** Names in a folder; those that hide are not the node's. */
async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOTDIR') throw withoutEpoch(folder);
    if (code === undefined) throw error;
    throw new KmsError('NOT_FOUND', `${folder} cannot be read: ${code}`);
  }
}

/**
 * Returns the vault in a bucket.
 *
 * @param name - Of bucket and prefix, for people.
 */
export function bucketStore(
  name: string,
  opened: ReadableVault & { readonly storage: Pick<Storage, 'get' | 'list'> },
): ForeignStore {
  const { storage } = opened;
  const named = (path: Path): string => [name, ...path].join('/');
  return {
    names: async (path) => {
      const names = await storage.list(path);
      if (names.length > 0) return names;
      // A bucket has no empty folders: what is listed and holds nothing is an object.
      if (path.length > 0) throw withoutEpoch(named(path));
      throw new KmsError('NOT_FOUND', `${name} holds nothing: correct bucket and prefix`);
    },
    read: (path, maxBytes) => orMissing(named(path), () => storage.get(path, maxBytes)),
    async *stream(path) {
      const { stream } = await orMissing(named(path), () => storage.open(path));
      yield* stream;
    },
    files: fetchedPublicFiles(async () => opened),
  };
}

async function orMissing<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!isKmsError(error, 'NOT_FOUND')) throw error;
    throw new KmsError('NOT_FOUND', `${name} is not there`, {}, error);
  }
}

function withoutEpoch(folder: string): KmsError {
  const cure = "start the node's newest release once, which moves it, and stop it";
  return new KmsError('REQUEST_INVALID', `${folder} belongs to no epoch: ${cure}`);
}
