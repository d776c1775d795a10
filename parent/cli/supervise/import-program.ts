/**
 * Runs the program of the engine's side that imports into stopped developer nodes: one job on its standard input, its log
 * on its standard output. This process sees paths and public values; keys are read by the other one alone.
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
export const IMPORT_PROGRAM = 'enclave/main-dev';

/** What is run. */
export interface ImportRun {
  /** For people: `import a client key`. */
  readonly title: string;
  /** Goes to the program as JSON. */
  readonly job: object;
  /** How far each step begins, out of 1. */
  readonly steps: Readonly<Record<string, number>>;
  /** Makes the program's security module, where AWS KMS wants it attested. */
  readonly device?: DeviceMaker | undefined;
}

const Failed = z.object({ err: z.object({ code: z.string(), message: z.string() }) });

/**
 * Runs it to its end, and returns the facts of its last line. A signal for this process ends nothing half-way: the program
 * takes back or finishes.
 *
 * @throws KmsError as the program failed.
 */
export async function runImportProgram<T>(
  { title, job, steps, device }: ImportRun,
  done: z.ZodType<T>,
  output: Output,
): Promise<T> {
  const progress = output.progress(title);
  const finishing = (): void => output.note('the import is finished first');
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, finishing);
  const child = spawn(process.execPath, [modulePath(IMPORT_PROGRAM), '--import'], {
    stdio: ['pipe', 'pipe', 'inherit', 'ignore', device ? 'pipe' : 'ignore'],
    detached: true,
  });
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
      if (facts?.event === 'import.step') progress.update(steps[String(facts.step)] ?? 0);
      else if (facts) outcome = facts;
    });
    await ended;
    const parsed = done.safeParse(outcome);
    if (outcome.event === 'import.done' && parsed.success) {
      progress.done();
      return parsed.data;
    }
    throw failureOf(outcome);
  } catch (error) {
    progress.failed();
    throw error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, finishing);
  }
}

function failureOf(outcome: Record<string, unknown>): Error {
  const failed = Failed.safeParse(outcome);
  if (!failed.success || !isErrorCode(failed.data.err.code)) {
    return failure('INTERNAL', 'the import ended without a word', 'start the nodes: they refuse what is not whole');
  }
  const { code, message } = failed.data.err;
  return failure(code, message, 'nothing was imported; docs/operators/import.md says what is needed');
}
