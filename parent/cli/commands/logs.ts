/** `arca logs`: what a node on this machine has said last. */
import { createCommand, dirOption, jsonOption, runAction } from '../framework/command.ts';
import { usageFailure } from '../framework/failure.ts';

const MOST_LINES = 100_000;

/** Returns the `logs` command. */
export function logsCommand() {
  return createCommand('logs', 'Show the last lines of the log of a node, or of its enclave.', [
    'arca logs',
    'arca logs --enclave --lines 1000        # what the engine and its init said, last words included',
    'arca logs --enclave --json',
    'arca logs --enclave --follow            # and what is said from now on, until Ctrl-C',
  ])
    .addOption(dirOption())
    .option('--enclave', 'what came out of the enclave')
    .option('--lines <n>', 'how many lines', parseLines, 100)
    .option('--follow', 'go on with what is written, until Ctrl-C')
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/logs.ts')).runLogs(options, output)),
    );
}

function parseLines(text: string): number {
  const lines = Number(text);
  if (/^[1-9]\d{0,5}$/.test(text) && lines <= MOST_LINES) return lines;
  throw usageFailure(`'${text}' is no number of lines`, `give 1 to ${MOST_LINES}`);
}
