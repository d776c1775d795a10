/** Runs the engine's program as an import into stopped developer nodes. */
import type { z } from 'zod';
import type { Output } from '../framework/output.ts';
import { END_SIGNALS, type EngineJob, runEngineJob } from './engine-job.ts';

/** What is imported. */
export type ImportRun = Pick<EngineJob, 'title' | 'job' | 'steps' | 'device'>;

/**
 * Runs it to its end, and returns the facts of its last line. A signal for this process ends nothing half-way: the program
 * takes back or finishes.
 *
 * @throws KmsError as the program failed.
 */
export async function runImportProgram<T>(run: ImportRun, done: z.ZodType<T>, output: Output): Promise<T> {
  const onSignal = (): void => output.note('the import is finished first');
  const cures = {
    told: 'nothing was imported; docs/operators/import.md says what is needed',
    silent: 'start the nodes: they refuse what is not whole',
  };
  for (const signal of END_SIGNALS) process.on(signal, onSignal);
  try {
    return await runEngineJob({ ...run, kind: 'import', cures }, done, output);
  } finally {
    for (const signal of END_SIGNALS) process.off(signal, onSignal);
  }
}
