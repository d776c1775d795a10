/**
 * `arca dev`: a node for developers: engine and core, supervised, in one state folder.
 */
import { Option } from '@commander-js/extra-typings';
import { createCommand, dirOption, jsonOption, paramsOption, parsePort, runAction } from '../framework/command.ts';

/** Returns the `dev` command. */
export function devCommand() {
  return createCommand('dev', 'Run a node in developer mode until Ctrl-C.', [
    'arca dev',
    'arca dev --dir ./my-node --params default',
    'arca dev --reset                        # forget all keys of this folder first',
    'arca dev --port 0 --public-port 0 --ops-port 0 --json',
  ])
    .addOption(dirOption())
    .addOption(paramsOption().default('test' as const))
    .option('--reset', 'clear the state folder first, if it is one of ours')
    .option('--port <port>', 'port for gRPC clients (0 = any free one)', parsePort, 50_051)
    .option('--public-port <port>', 'port of the public material', parsePort, 9000)
    .option('--ops-port <port>', 'port of metrics and health', parsePort, 9646)
    .addOption(logLevelOption())
    .option('--v0-extra-data-as-empty', 'sign empty extra_data where a request has 0x00, for clients of 0.12')
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/dev.ts')).runDev(options, output)),
    );
}

/** `--log-level`, for the commands that start a node. */
export const logLevelOption = () =>
  new Option('--log-level <level>', 'how much goes to node.log')
    .choices(['trace', 'debug', 'info', 'warn', 'error'] as const)
    .default('info' as const);
