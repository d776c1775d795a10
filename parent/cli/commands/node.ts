/**
 * `arca node --config FILE`: a node as its configuration file describes it, supervised.
 */
import { createCommand, jsonOption, paramsOption, runAction } from '../framework/command.ts';

/** Returns the `node` command. */
export function nodeCommand() {
  return createCommand('node', 'Run the node that a configuration file describes, until Ctrl-C.', [
    'arca node --config /etc/arca/node.toml',
    'arca config check node.toml && arca node --config node.toml',
  ])
    .requiredOption('--config <file>', 'the TOML file; its [state] path names the state folder')
    .addOption(paramsOption().default('default' as const))
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/dev.ts')).runConfigured(options, output)),
    );
}
