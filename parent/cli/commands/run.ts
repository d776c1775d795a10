/** `arca run`: a node whose engine runs in an enclave of this machine. */
import { createCommand, jsonOption, paramsOption, runAction } from '../framework/command.ts';

/** Returns the `run` command. */
export function runCommand() {
  return createCommand('run', 'Run a node whose engine is in an enclave of this machine, until Ctrl-C.', [
    'arca run --config /etc/arca/node.toml',
    'arca run --config /etc/arca/node.toml --check    # what stands in the way, and what to do about it',
    'arca logs --enclave                              # what the enclave says',
  ])
    .requiredOption('--config <file>', 'configuration with a section [enclave]')
    .addOption(paramsOption().default('default' as const))
    .option('--check', 'look at everything that a start needs, start nothing')
    .option('--debug-mode', 'show the console of the enclave; peers and AWS KMS refuse such an enclave')
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/run.ts')).runRun(options, output)),
    );
}
