/**
 * Where the engine's Unix socket stands, and beside it that of the Core's administration: below the state folder, or, when that path would be longer than the
 * kernel takes (107 bytes), in a short folder of our own (mode 0700) under the runtime directory.
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { failure, hasCode } from '../framework/failure.ts';
import { STATE_FILES } from './state-folder.ts';

/** Longest path of a Unix socket, in bytes (`sun_path` without its final zero). */
export const MAX_SOCKET_PATH_BYTES = 107;
const SOCKET_NAME = 'engine.sock';
/** The admin socket's name, in the folder of the engine's; not longer than that, so that it fits where that does. */
export const ADMIN_SOCKET_NAME = 'admin.sock';

/**
 * Returns the socket's path for a state folder, and makes its folder. The path depends on `dir` alone.
 *
 * @param maxBytes - What the path may have; less leaves room for longer names beside it.
 */
export async function prepareSocketPath(
  dir: string,
  env: NodeJS.ProcessEnv = process.env,
  maxBytes: number = MAX_SOCKET_PATH_BYTES,
): Promise<string> {
  const real = await realpath(dir);
  const short = `arca-${createHash('sha256').update(real).digest('hex').slice(0, 16)}`;
  const folders = [join(real, STATE_FILES.run), join('/tmp', short)];
  if (env.XDG_RUNTIME_DIR) folders.splice(1, 0, join(env.XDG_RUNTIME_DIR, short));
  for (const folder of folders) {
    const path = join(folder, SOCKET_NAME);
    if (Buffer.byteLength(path) > maxBytes) continue;
    if (await makePrivateFolder(folder)) return path;
  }
  throw failure('STATE_INVALID', 'no folder for the engine socket', 'set XDG_RUNTIME_DIR to a writable folder');
}

/** Returns whether the folder is there and ours alone; false if it cannot be made. */
async function makePrivateFolder(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'EACCES') || hasCode(error, 'EROFS')) return false;
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  const stat = await lstat(folder);
  if (stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o077) === 0) return true;
  throw failure(
    'STATE_INVALID',
    `${folder} must be a folder of yours with mode 0700`,
    `remove it, or run: chmod 700 ${folder}`,
    { folder },
  );
}
