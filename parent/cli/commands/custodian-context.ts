/**
 * `arca custodian-context new|list|destroy`: who the custodians of a node's backup are.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, runAction } from '../framework/command.ts';
import { collect } from '../governance/options.ts';

/** Returns the `custodian-context` command with its subcommands. */
export function custodianContextCommand(): Command {
  const command = createCommand('custodian-context', "Make, list and destroy the custodians of a node's backup.", []);
  command.addCommand(
    createNodeCommand('new', 'Share a new backup key among custodians, and back everything up under it.', [
      'arca custodian-context new --setup ada.setup --setup bob.setup --setup eve.setup --threshold 1',
    ])
      .requiredOption('--threshold <t>', 'so many custodians together learn nothing; one more gives the key back')
      .option('--setup <file>', 'setup message of a custodian; repeatable', collect)
      .option('--id <id>', 'id of the custodian context; a random one if absent')
      .option('--mpc-context <id>', 'MPC context of the node; the default one if absent')
      .action((options) =>
        runAction(options, async (output) =>
          (await import('../actions/custodian-context.ts')).runCustodianContextNew(options, output),
        ),
      ),
  );
  command.addCommand(
    createNodeCommand('list', 'List the custodian contexts of a node.', ['arca custodian-context list']).action(
      (options) =>
        runAction(options, async (output) =>
          (await import('../actions/custodian-context.ts')).runCustodianContextList(options, output),
        ),
    ),
  );
  command.addCommand(
    createNodeCommand('destroy', 'Destroy a custodian context and the backup under it.', [
      'arca custodian-context destroy 0f3a… --yes',
    ])
      .argument('<id>', 'id of the custodian context')
      .option('--yes', 'yes, its backup is to be lost')
      .action((id, options) =>
        runAction(options, async (output) =>
          (await import('../actions/custodian-context.ts')).runCustodianContextDestroy(id, options, output),
        ),
      ),
  );
  return command;
}
