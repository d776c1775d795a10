/** What `arca logs` does: the end of a log file, and what is written behind it. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { absoluteDir } from '../framework/command.ts';
import { failure, hasCode, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { printable } from '../quorum/quorum-table.ts';
import { parseLogLine } from '../supervise/child.ts';
import { followLog, type LogPlace } from '../supervise/follow-log.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';

/** Options of `arca logs`. */
export interface LogsOptions {
  readonly dir: string;
  readonly enclave?: true | undefined;
  readonly lines: number;
  readonly follow?: true | undefined;
}

/** More of a file is never read. */
const MAX_BYTES = 32 * 1024 * 1024;

/** `arca logs`; following ends with the signal. */
export async function runLogs(
  { dir, enclave, lines: count, follow }: LogsOptions,
  output: Output,
  signal?: AbortSignal,
): Promise<void> {
  if (follow === true && output.json) throw usageFailure('--follow never ends, --json is one object', 'leave one out');
  const folder = absoluteDir(dir);
  const path = join(folder, enclave === true ? STATE_FILES.enclaveLog : STATE_FILES.log);
  // The file before counts too: a log may just have been begun anew.
  const before = await readEnd(`${path}.1`);
  const { text, place } = (await readEnd(path, follow)) ?? (await missing(path, enclave === true));
  const lines = `${before?.text ?? ''}${text}`
    .split('\n')
    .filter((line) => line !== '')
    .slice(-count);
  output.result(
    { file: path, lines: lines.map((line) => parseLogLine(line) ?? line) },
    lines.map(printable).join('\n'),
  );
  if (follow !== true) return;
  await followLog(path, place, (more) => output.result({}, more.map(printable).join('\n')), signal);
}

async function missing(path: string, enclave: boolean): Promise<never> {
  const cure = enclave ? "its node is started with 'arca run'" : 'name the folder of a node with --dir';
  throw failure('NOT_FOUND', `there is no log ${path}`, cure);
}

/** With `whole` a line that is being written is left out: it comes with what follows. */
async function readEnd(path: string, whole = false): Promise<{ text: string; place: LogPlace } | undefined> {
  try {
    await using file = await open(path, 'r');
    const { size, ino } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, MAX_BYTES));
    const start = size - bytes.length;
    await file.read(bytes, 0, bytes.length, start);
    const end = whole ? bytes.lastIndexOf('\n') + 1 : bytes.length;
    return { text: bytes.subarray(0, end).toString('utf8'), place: { ino, offset: start + end } };
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}
