/**
 * A program that lives and dies with this process: its output goes into a file, its last lines are kept for the reason of
 * its end. What a guest prints is its own: lines are cut and cleaned before anybody sees them.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

/** What is started. */
export interface GuestProgramStart {
  readonly command: string;
  readonly args: readonly string[];
  /** File that takes its output, written anew. */
  readonly output: string;
}

/** A program that was started. */
export interface GuestProgram {
  /** Resolves when it is no more; never rejects. */
  readonly ended: Promise<{ readonly status: string; readonly lastLines: readonly string[] }>;
  /** Ends it at once. May be called again. */
  kill(): void;
}

const KEPT_LINES = 5;
const MAX_LINE_CHARS = 300;
/** More output than this is a guest gone mad; the file ends there. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** See the file comment. */
export function startProgram({ command, args, output }: GuestProgramStart): GuestProgram {
  // A process that is killed cannot kill its children: the kernel does it for this one.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const file = openSync(output, 'w', 0o600);
  const lines = lastLinesOf();
  let written = 0;
  const take = (chunk: Buffer): void => {
    const room = MAX_OUTPUT_BYTES - written;
    if (room > 0) written += writeSync(file, chunk.subarray(0, room));
    lines.add(chunk);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  }).then((status) => {
    closeSync(file);
    return { status, lastLines: lines.get() };
  });
  return { ended, kill: () => void child.kill('SIGKILL') };
}

/** Keeps the last whole lines of a stream, without what a terminal would obey. */
function lastLinesOf(): { add(chunk: Buffer): void; get(): readonly string[] } {
  const decoder = new StringDecoder('utf8');
  let kept: readonly string[] = [];
  let rest = '';
  const clean = (line: string): string => line.replace(/[^\x20-\x7e]/g, '').slice(0, MAX_LINE_CHARS);
  return {
    add: (chunk) => {
      const lines = (rest + decoder.write(chunk)).split('\n');
      rest = (lines.pop() ?? '').slice(-MAX_LINE_CHARS);
      kept = [...kept, ...lines.map(clean).filter((line) => line !== '')].slice(-KEPT_LINES);
    },
    get: () => [...kept, clean(rest)].filter((line) => line !== '').slice(-KEPT_LINES),
  };
}
