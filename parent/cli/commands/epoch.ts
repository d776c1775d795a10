/**
 * `arca epoch list|new|destroy`: the epochs of a threshold node or of a whole quorum.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, runAction } from '../framework/command.ts';

/** Returns the `epoch` command with its subcommands. */
export function epochCommand(): Command {
  const command = createCommand('epoch', 'List, set up and destroy the epochs of a quorum.', []);
  command.addCommand(
    createNodeCommand('list', 'List the epochs, and which parties have them.', ['arca epoch list']).action((options) =>
      runAction(options, async (output) => (await import('../actions/epoch.ts')).runEpochList(options, output)),
    ),
  );
  command.addCommand(
    createNodeCommand('new', 'Set up an epoch at all parties: fresh keys for their common randomness.', [
      'arca epoch new',
      'arca epoch new --context 0700…0001',
    ])
      .option('--id <id>', 'id of the epoch; a random one if absent')
      .option('--context <id>', 'context that it belongs to; the default one if absent')
      .action((options) =>
        runAction(options, async (output) => (await import('../actions/epoch.ts')).runEpochNew(options, output)),
      ),
  );
  command.addCommand(
    createNodeCommand('destroy', 'Destroy an epoch at all parties, with the shares of all its keys.', [
      'arca epoch destroy 0f3a… --yes',
    ])
      .argument('<id>', 'id of the epoch')
      .option('--yes', 'yes, the keys of this epoch are to be lost')
      .action((id, options) =>
        runAction(options, async (output) =>
          (await import('../actions/epoch.ts')).runEpochDestroy(id, options, output),
        ),
      ),
  );
  return command;
}
