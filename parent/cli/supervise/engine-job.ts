/**
 * Runs the program of the engine's side that does one job and serves nobody: the job on its standard input, its log on its
 * standard output. This process sees paths and public values; keys are read by the other one alone.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Duplex } from 'node:stream';
import { z } from 'zod';
import { isErrorCode } from '../../../common/errors.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { modulePath } from '../framework/package-files.ts';
import { parseLogLine } from './child.ts';
import type { DeviceMaker } from './developer-devices.ts';

/** Main module of the program: that of the engine, so that both have one measurement. */
export const ENGINE_JOB_PROGRAM = 'enclave/main-dev';

/** What is run. */
export interface EngineJob {
  /** For people: `import a client key`. */
  readonly title: string;
  /** What the program is told to do, and how its log begins: `--drill`, `drill.done`. */
  readonly kind: 'import' | 'drill';
  /** Goes to the program as JSON. */
  readonly job: object;
  /** How far each step begins, out of 1. */
  readonly steps: Readonly<Record<string, number>>;
  /** Makes the program's security module, where AWS KMS wants it attested. */
  readonly device?: DeviceMaker | undefined;
  /** Ends the program at once. It stands in a process group of its own: Ctrl-C reaches this process alone. */
  readonly signal?: AbortSignal | undefined;
  /** What is to be done after a failure. */
  readonly cures: {
    /** After one that the program told. */
    readonly told: string;
    /** After one of which it left no word. */
    readonly silent: string;
  };
}

/** What people and service managers end a command with. */
export const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const Failed = z.object({ err: z.object({ code: z.string(), message: z.string() }) });

/**
 * Runs it to its end, and returns the facts of its last line.
 *
 * @throws KmsError as the program failed; `CANCELLED` by the signal.
 */
export async function runEngineJob<T>(run: EngineJob, done: z.ZodType<T>, output: Output): Promise<T> {
  const { title, kind, job, steps, device, signal } = run;
  requireGoingOn(run);
  const progress = output.progress(title);
  const child = spawn(process.execPath, [modulePath(ENGINE_JOB_PROGRAM), `--${kind}`], {
    stdio: ['pipe', 'pipe', 'inherit', 'ignore', device ? 'pipe' : 'ignore'],
    detached: true,
  });
  const onAbort = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', onAbort, { once: true });
  const socket = child.stdio[4];
  if (device && socket instanceof Duplex) device().serve(socket);
  try {
    const ended = new Promise<void>((end) => child.once('close', () => end()).once('error', () => end()));
    child.stdin?.on('error', () => {}); // it ended early: what it said tells why
    child.stdin?.end(JSON.stringify(job));
    let outcome: Record<string, unknown> = {};
    const lines = child.stdout && createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY });
    lines?.on('line', (line) => {
      const facts = parseLogLine(line);
      if (facts?.event === `${kind}.step`) progress.update(steps[String(facts.step)] ?? 0, String(facts.step));
      else if (facts) outcome = facts;
    });
    await ended;
    requireGoingOn(run);
    const parsed = done.safeParse(outcome);
    if (outcome.event === `${kind}.done` && parsed.success) {
      progress.done();
      return parsed.data;
    }
    throw failureOf(outcome, run);
  } catch (error) {
    progress.failed();
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

function requireGoingOn({ kind, signal, cures }: EngineJob): void {
  if (signal?.aborted) throw failure('CANCELLED', `the ${kind} was cut off`, cures.silent);
}

function failureOf(outcome: Record<string, unknown>, { kind, cures }: EngineJob): Error {
  const failed = Failed.safeParse(outcome);
  if (!failed.success || !isErrorCode(failed.data.err.code)) {
    return failure('INTERNAL', `the ${kind} ended without a word`, cures.silent);
  }
  const { code, message } = failed.data.err;
  return failure(code, message, cures.told);
}
