/**
 * `arca restore`: brings back what the private vault of a node has lost, out of its backup. It only adds.
 */
import { createNodeCommand, runAction } from '../framework/command.ts';

/** Returns the `restore` command. */
export function restoreCommand() {
  return createNodeCommand('restore', 'Bring back from the backup what the private vault has lost. Only adds.', [
    'arca restore --plan                        # what would be done; nothing is written',
    'arca restore --head 41:5f2c…9d01           # refuses a backup that is older than what was written down',
    'arca restore --yes --json                  # without a question, for scripts',
  ])
    .option('--plan', 'only show what would be done')
    .option('--head <sequence:digest>', 'newest state of the vault that was written down: arca vault status')
    .option('--yes', 'do not ask')
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/restore.ts')).runRestore(options, output)),
    );
}
