/**
 * What the programs of the emulators have in common: `--config FILE`, `--help`, an orderly end by a signal or with their
 * supervisor.
 */
import { parseArgs } from 'node:util';
import { watchSupervisor } from '../common/supervisor-pipe.ts';

/** Runs an emulator until a signal, or the end of its supervisor; exits with 2 if it cannot start. */
export async function runEmulator(
  usage: string,
  start: (configFile: string) => Promise<{ close(): Promise<void> }>,
): Promise<void> {
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } } });
    if (values.help === true) {
      process.stdout.write(usage);
      return;
    }
    if (values.config === undefined) throw new Error(`--config is missing\n\n${usage}`);
    const emulator = await start(values.config);
    const stop = (): void => {
      // Whatever is left open, a pipe to a supervisor for one, must not keep it.
      void emulator.close().then(() => process.exit(0));
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
    watchSupervisor(stop);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  }
}

/** Prints a line of the program's log. */
export function printLine(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
