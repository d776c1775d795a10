/**
 * `arca start`, which is `npm start`: a developer node and a guided first run through it.
 */
import { createCommand, dirOption, jsonOption, paramsOption, parsePort, runAction } from '../framework/command.ts';
import { logLevelOption } from './dev.ts';

/** Returns the `start` command. */
export function startCommand() {
  return createCommand('start', 'Run a developer node and a guided first run: key, encryption, decryptions, proof.', [
    'arca start',
    'arca start --once --json                # the same, then stop: exit code 0 only if every answer verified',
    'arca start --params default             # production parameters: minutes and gigabytes',
  ])
    .option('--once', 'stop after the guided run; free ports are taken where the usual ones are not')
    .addOption(dirOption())
    .addOption(paramsOption().default('test' as const))
    .option('--reset', 'clear the state folder first, if it is one of ours')
    .option('--port <port>', 'port for gRPC clients (0 = any free one)', parsePort, 50_051)
    .option('--public-port <port>', 'port of the public material', parsePort, 9000)
    .option('--ops-port <port>', 'port of metrics and health', parsePort, 9646)
    .addOption(logLevelOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/start.ts')).runStart(options, output)),
    );
}
