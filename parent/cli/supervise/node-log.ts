/**
 * `node.log`: every line of both processes, in one file of the state folder. The previous file is kept as
 * `node.log.1` once it has grown large; both together stay bounded across restarts.
 */
import { createWriteStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../framework/failure.ts';
import { STATE_FILES } from './state-folder.ts';

/** An open log file. */
export interface NodeLog {
  readonly path: string;
  write(line: string): void;
  close(): Promise<void>;
}

const ROTATE_AT_BYTES = 16 * 1024 * 1024;

/** Opens the log of a state folder for appending. */
export async function openNodeLog(dir: string): Promise<NodeLog> {
  const path = join(dir, STATE_FILES.log);
  try {
    if ((await stat(path)).size > ROTATE_AT_BYTES) await rename(path, `${path}.1`);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
  // A full disk must not end the supervisor: the log is lost, the node goes on.
  stream.on('error', () => {});
  return {
    path,
    write: (line) => void stream.write(`${line}\n`),
    close: () => new Promise((resolve) => stream.end(() => resolve())),
  };
}
