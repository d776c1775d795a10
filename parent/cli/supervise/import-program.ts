/** Runs the engine's program as an import into stopped developer nodes. */
import type { z } from 'zod';
import type { Output } from '../framework/output.ts';
import { END_SIGNALS, type EngineJob, runEngineJob } from './engine-job.ts';

/** What is imported. */
export type ImportRun = Pick<EngineJob, 'title' | 'job' | 'steps' | 'device'>;

/** Runs it to its end, and returns the facts of its last line. @throws KmsError as the program failed. */
export async function runImportProgram<T>(run: ImportRun, done: z.ZodType<T>, output: Output): Promise<T> {
  const cures = {
    told: 'nothing was imported; docs/operators/import.md says what is needed',
    silent: 'start the nodes: they refuse what is not whole',
  };
  return await finishImport(output, () => runEngineJob({ ...run, kind: 'import', cures }, done, output));
}

/** Lets no signal for this process end an import half-way: who reads the keys takes back or finishes. */
export async function finishImport<T>(output: Output, work: () => Promise<T>): Promise<T> {
  const onSignal = (): void => output.note('the import is finished first');
  for (const signal of END_SIGNALS) process.on(signal, onSignal);
  try {
    return await work();
  } finally {
    for (const signal of END_SIGNALS) process.off(signal, onSignal);
  }
}
