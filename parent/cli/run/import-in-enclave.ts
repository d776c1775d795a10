/**
 * Has the enclave of a stopped node do one import in place of serving, and returns what it says of it. This process sees names
 * of buckets and public values; keys are read inside alone.
 */
import type { z } from 'zod';
import type { BootImport } from '../../../common/enclave-boot-import.ts';
import { isErrorCode } from '../../../common/errors.ts';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { type ChildExit, parseLogLine } from '../supervise/child.ts';
import { finishImport } from '../supervise/import-program.ts';
import { describeExit } from '../supervise/supervisor.ts';
import { nodeEnclave, type TakeNodeOptions, takeEnclaveNode } from './node-enclave.ts';

/** What is asked for. */
export interface EnclaveImportOptions extends TakeNodeOptions {
  /** For people: `take over a vault`. */
  readonly title: string;
  readonly job: BootImport;
  /** How far each step begins, out of 1. */
  readonly steps: Readonly<Record<string, number>>;
}

/**
 * Runs it to its end, and returns the facts of the line that says so.
 *
 * @throws {@link KmsError} as `takeEnclaveNode`; as the engine failed, in its last words.
 */
export async function importInEnclave<T>(
  { title, job, steps, ...options }: EnclaveImportOptions,
  done: z.ZodType<T>,
  output: Output,
): Promise<T> {
  const node = await takeEnclaveNode(options, output);
  try {
    const { enclave } = await nodeEnclave(node, { job }, output);
    const progress = output.progress(title);
    let outcome: Record<string, unknown> | undefined;
    const onLine = (line: string): void => {
      node.enclaveLog.write(line);
      const facts = parseLogLine(line);
      if (facts?.event === 'import.step') progress.update(steps[String(facts.step)] ?? 0);
      else if (facts?.event === 'import.done') outcome = facts;
    };
    try {
      const exit = await finishImport(output, () => enclave.start(onLine).exited);
      const read = done.safeParse(outcome);
      if (exit.code !== 0 || !read.success) throw failureOf(exit);
      progress.done();
      return read.data;
    } catch (error) {
      progress.failed();
      throw error;
    }
  } finally {
    await node.release();
  }
}

/** Last words begin with the code of the failure. */
function failureOf(exit: ChildExit): Error {
  const [, code, message] = /^([A-Z_]+): (.+)$/s.exec(exit.reason ?? '') ?? [];
  const cure = 'docs/operators/import.md says what is needed; arca logs --enclave shows what the enclave said';
  if (code !== undefined && message !== undefined && isErrorCode(code)) return failure(code, message, cure);
  return failure('UNAVAILABLE', `the enclave ended without having imported: ${describeExit(exit)}`, cure);
}
