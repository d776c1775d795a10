/**
 * The few file system calls that the file back end makes, as one object, so that tests can make any of them
 * fail or stop at any step.
 */
import { constants } from 'node:fs';
import { chmod, link, lstat, mkdir, open, readdir, realpath, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isKmsError, KmsError, systemErrorCode } from '../common/errors.ts';

/** An open file or folder. */
export interface OpenFile {
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  write(buffer: Uint8Array, offset: number, length: number): Promise<{ bytesWritten: number }>;
  stat(): Promise<{ size: number; isFile(): boolean }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The calls themselves, with the meaning they have in `node:fs/promises`. */
export interface FileOps {
  open(path: string, flags: number, mode?: number): Promise<OpenFile>;
  link(existing: string, path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  lstat(path: string): Promise<{ size: number; mode: number; isFile(): boolean; isDirectory(): boolean }>;
  readdir(path: string): Promise<string[]>;
  realpath(path: string): Promise<string>;
}

/** The calls of Node. */
export const nodeFileOps: FileOps = {
  open,
  link,
  rename,
  unlink,
  mkdir: (path, mode) => mkdir(path, { mode }),
  chmod,
  lstat,
  readdir: (path) => readdir(path),
  realpath: (path) => realpath(path),
};

/** Flags for reading a plain file; a symbolic link is not followed. */
export const READ_FLAGS: number = constants.O_RDONLY | constants.O_NOFOLLOW;

/** Flags for making a file that is not there yet. */
export const CREATE_FLAGS: number = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

const READ_CHUNK_BYTES = 256 * 1024;

/** Runs a call and returns undefined where the file, or a folder on the way to it, does not exist. */
export async function unlessAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes a folder's entries to the disk, so that a name in it survives a power cut. */
export async function syncFolder(fs: FileOps, folder: string): Promise<void> {
  const handle = await fs.open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Fills the buffer from a position of the file. */
export async function readFully(handle: OpenFile, into: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < into.byteLength; ) {
    const { bytesRead } = await handle.read(into, at, into.byteLength - at, position + at);
    if (bytesRead === 0) throw new KmsError('STATE_INVALID', 'the object ends early: it was cut after it was stored');
    at += bytesRead;
  }
}

/** Reads a part of an open file, chunk by chunk. */
export async function* readRange(handle: OpenFile, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += READ_CHUNK_BYTES) {
    const chunk = new Uint8Array(Math.min(READ_CHUNK_BYTES, end - at));
    await readFully(handle, chunk, at);
    yield chunk;
  }
}

/** Lists the plain files and the folders with files in them that lie in a folder; nothing lies below a file. */
export async function listNames(fs: FileOps, folder: string): Promise<string[]> {
  const entries = await unlessAbsent(fs.readdir(folder)).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOTDIR') return undefined;
    throw error;
  });
  const names: string[] = [];
  for (const name of (entries ?? []).filter((entry) => !entry.startsWith('.')).sort()) {
    const path = join(folder, name);
    const found = await unlessAbsent(fs.lstat(path));
    const holdsObjects = found?.isDirectory() && (await listNames(fs, path)).length > 0;
    if (found?.isFile() || holdsObjects) names.push(name);
  }
  return names;
}

/** Makes a folder if there is none and makes its name durable. Its parent must exist. */
export async function makeFolder(fs: FileOps, folder: string, mode: number): Promise<void> {
  try {
    await fs.mkdir(folder, mode);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
    if ((await fs.lstat(folder)).isDirectory()) return;
    throw new KmsError('STATE_INVALID', 'a plain folder should lie there, not a link or anything else');
  }
  await syncFolder(fs, join(folder, '..'));
}

/**
 * Turns a failure of the file system into one of ours; messages of Node hold paths, so they stay in the cause.
 * Anything else, such as a failure of the source that is written, comes back as it is.
 */
export function storageError(error: unknown, facts: Readonly<Record<string, string | number>>): unknown {
  const code = systemErrorCode(error);
  if (code === undefined || isKmsError(error)) return error;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new KmsError(
        'STORAGE_FULL',
        'the disk is full: make room, then try again',
        { ...facts, cause: code },
        error,
      );
    case 'ELOOP':
      return new KmsError('STATE_INVALID', 'a symbolic link lies where a plain file or folder should be', facts, error);
    case 'ENOTDIR':
    case 'EISDIR':
      return new KmsError('STATE_INVALID', 'a folder and an object cannot have one name', facts, error);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new KmsError(
        'STATE_INVALID',
        'the vault may not be read or written by this user',
        { ...facts, cause: code },
        error,
      );
    default:
      return new KmsError('INTERNAL', 'the file system failed', { ...facts, cause: code }, error);
  }
}
