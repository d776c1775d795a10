/**
 * One child process of the supervisor: engine or core, run by the same Node as the supervisor.
 *
 * The child's descriptor 3 is a pipe whose other end only the supervisor holds, so a child learns of the
 * supervisor's death, SIGKILL included, and exits; one that hears is told through it why others are not up yet. It
 * stands in a process group of its own: Ctrl-C reaches the supervisor alone, which then stops the children in order.
 * In developer mode descriptor 4 is the child's security module, a socket whose other end this process answers.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Duplex, type Readable } from 'node:stream';
import type { SoftwareDevice } from '../../../attestation/developer/software-device.ts';

/** What to run, and how it says that it is ready. */
export interface ChildProgram {
  readonly name: string;
  /** Path of the main module. */
  readonly file: string;
  readonly args: readonly string[];
  /** The log event (`{"event": …}` on standard output) that means ready. */
  readonly readyEvent: string;
  /** Settings of V8. */
  readonly v8Flags?: readonly string[];
  /** Set in its environment, beside what this process has. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** It wants to know why others are not up yet. */
  readonly hears?: true;
  /** Makes the security module of one start, fresh as after boot; absent where the machine has a real one. */
  readonly device?: () => Pick<SoftwareDevice, 'serve'>;
}

/** Something else that is started, watched and started again like a process: an enclave. */
export interface Startable {
  readonly name: string;
  /** `onLine` gets every line that it says. */
  start(onLine: (line: string) => void): RunningChild;
}

/** How a child ended. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its last words, where it has any beside its lines. */
  readonly reason?: string | undefined;
}

/** A child that was started. */
export interface RunningChild {
  /** 0 for what is no process of this machine. */
  readonly pid: number;
  /** Resolves with the facts of the ready line; never rejects (see `exited`). */
  readonly ready: Promise<Readonly<Record<string, unknown>>>;
  readonly exited: Promise<ChildExit>;
  /** Its last lines, for the report of a failed start. */
  lastLines(): readonly string[];
  signal(signal: NodeJS.Signals): void;
  /** Takes a line about another child; absent: it wants none. */
  readonly hear?: ((line: string) => void) | undefined;
}

const KEPT_LINES = 12;

/** Starts a child; `onLine` gets every line of its standard output and error. */
export function startChild(program: ChildProgram, onLine: (line: string) => void): RunningChild {
  const child = spawn(process.execPath, [...(program.v8Flags ?? []), program.file, ...program.args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...(program.device ? (['pipe'] as const) : [])],
    detached: true,
    env: { ...process.env, ...program.env },
  });
  const lines: string[] = [];
  let setReady: (facts: Record<string, unknown>) => void = () => {};
  const ready = new Promise<Record<string, unknown>>((resolve) => {
    setReady = resolve;
  });
  const keep = (line: string) => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    onLine(line);
  };
  // The ready line is recognized on standard output alone: that is the child's log.
  readLines(child.stdout, (line) => {
    keep(line);
    const facts = parseLogLine(line);
    if (facts?.event === program.readyEvent) setReady(facts);
  });
  readLines(child.stderr, keep);
  // Held open: its closing is the message. An error on it means the child is gone, which `exited` tells.
  const pipe = child.stdio[3];
  pipe?.on('error', () => {});
  const socket = child.stdio[4];
  if (program.device && socket instanceof Duplex) program.device().serve(socket);
  return {
    pid: child.pid ?? 0,
    ready,
    exited: exitOf(child, keep),
    lastLines: () => lines,
    signal: (signal) => void child.kill(signal),
    hear: program.hears && pipe instanceof Duplex ? (line) => void pipe.write(line) : undefined,
  };
}

/** Returns the facts of a JSON log line, `undefined` for any other line. */
export function parseLogLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return value !== null && typeof value === 'object' ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function readLines(stream: Readable | null, onLine: (line: string) => void): void {
  if (stream) createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine);
}

function exitOf(child: ChildProcess, onLine: (line: string) => void): Promise<ChildExit> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      onLine(error.message);
      resolve({ code: null, signal: null });
    });
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}
