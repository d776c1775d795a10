/**
 * `node.log`: every line of both processes, in one file of the state folder. The previous file is kept as
 * `node.log.1` once it has grown large; both together stay bounded. An enclave's lines have a file of their own.
 */
import { createWriteStream, renameSync, type WriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../framework/failure.ts';
import { STATE_FILES } from './state-folder.ts';

/** An open log file, which is begun anew once it is full. */
export interface NodeLog {
  readonly path: string;
  write(line: string): void;
  close(): Promise<void>;
}

const ROTATE_AT_BYTES = 16 * 1024 * 1024;
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/**
 * Opens a log of a state folder for appending.
 *
 * @param name - Its file there; node.log unless an enclave's own is meant.
 */
export async function openNodeLog(dir: string, name: string = STATE_FILES.log): Promise<NodeLog> {
  const path = join(dir, name);
  let sizeBytes = await sizeOf(path);
  const open = (): WriteStream => {
    const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
    // A full disk must not end the supervisor: the log is lost, the node goes on.
    stream.on('error', () => {});
    return stream;
  };
  const rotate = (): void => {
    try {
      renameSync(path, `${path}.1`);
    } catch {
      // As with a full disk.
    }
    sizeBytes = 0;
  };
  if (sizeBytes > ROTATE_AT_BYTES) rotate();
  let stream = open();
  return {
    path,
    write: (line) => {
      // Whoever writes faster than the disk loses lines, not the memory of this process.
      if (stream.writableLength > MAX_WAITING_BYTES) return;
      const text = `${line}\n`;
      sizeBytes += Buffer.byteLength(text);
      if (sizeBytes > ROTATE_AT_BYTES) {
        stream.end();
        rotate();
        stream = open();
        sizeBytes = Buffer.byteLength(text);
      }
      stream.write(text);
    },
    close: () => new Promise((resolve) => stream.end(() => resolve())),
  };
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    return 0;
  }
}
