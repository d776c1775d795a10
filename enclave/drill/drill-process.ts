/**
 * What the developer engine's program does when it is told to rehearse a restore, in place of serving. `arca backup drill`
 * gives it one job on standard input, and reads its log from standard output.
 *
 * It is the same program, so that root keys that admit the engine admit it.
 */
import { text } from 'node:stream/consumers';
import { systemClock } from '../../common/clock.ts';
import { createLogger } from '../../common/log.ts';
import { AttestedImport, type ImportProgram } from '../import/attested-import.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import { drill } from './drill.ts';
import { parseDrillJob } from './drill-job.ts';

/** Runs the job that comes on standard input; the process ends with status 1 if it fails. */
export async function runDrill(program: ImportProgram, clear: DataKeyring): Promise<void> {
  const log = createLogger({ name: 'drill', level: 'info' });
  try {
    const job = parseDrillJob(await text(process.stdin));
    await using attested = new AttestedImport({ file: job.config, emulators: undefined, program, log });
    const onStep = (step: string): void => log.info({ event: 'drill.step', step });
    log.info({ event: 'drill.done', ...(await drill(job, { attested, clear, onStep, clock: systemClock, log })) });
  } catch (err) {
    log.fatal({ event: 'drill.failed', err });
    process.exitCode = 1;
  }
}
