/** What `arca logs` does: the end of a log file, read backwards as far as it is needed. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { absoluteDir } from '../framework/command.ts';
import { failure, hasCode } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { printable } from '../quorum/quorum-table.ts';
import { parseLogLine } from '../supervise/child.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';

/** Options of `arca logs`. */
export interface LogsOptions {
  readonly dir: string;
  readonly enclave?: true | undefined;
  readonly lines: number;
}

/** More of a file is never read. */
const MAX_BYTES = 32 * 1024 * 1024;

/** `arca logs`. */
export async function runLogs({ dir, enclave, lines: count }: LogsOptions, output: Output): Promise<void> {
  const folder = absoluteDir(dir);
  const path = join(folder, enclave === true ? STATE_FILES.enclaveLog : STATE_FILES.log);
  // The file before counts too: a log may just have been begun anew.
  const text = `${(await readEnd(`${path}.1`)) ?? ''}${(await readEnd(path)) ?? (await missing(path, enclave === true))}`;
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .slice(-count);
  output.result(
    { file: path, lines: lines.map((line) => parseLogLine(line) ?? line) },
    lines.map(printable).join('\n'),
  );
}

async function missing(path: string, enclave: boolean): Promise<never> {
  const cure = enclave ? "its node is started with 'arca run'" : 'name the folder of a node with --dir';
  throw failure('NOT_FOUND', `there is no log ${path}`, cure);
}

async function readEnd(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, MAX_BYTES));
    await file.read(bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}
