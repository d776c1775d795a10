/**
 * `arca backup status|list|verify|drill`: what the backup of a node holds, whether all of it is good, and a rehearsed restore.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, runAction } from '../framework/command.ts';

/** Returns the `backup` command with its subcommands. */
export function backupCommand(): Command {
  const command = createCommand('backup', 'Look at the backup of a node, check it, rehearse a restore.', []);
  command.addCommand(
    createNodeCommand('status', 'Show how far the backup is behind, why, and the last drill.', [
      'arca backup status',
      'arca backup status --max-behind-secs 600   # exit code 1 if it has been incomplete for longer',
    ])
      .option('--max-behind-secs <seconds>', 'fail if the backup has not been complete for longer than this')
      .action((options) =>
        runAction(options, async (output) => (await import('../actions/backup.ts')).runBackupStatus(options, output)),
      ),
  );
  command.addCommand(
    createNodeCommand('list', 'List what the backup holds.', ['arca backup list', 'arca backup list --json']).action(
      (options) =>
        runAction(options, async (output) => (await import('../actions/backup.ts')).runBackupList(options, output)),
    ),
  );
  command.addCommand(
    createNodeCommand('verify', 'Check everything in the backup. Opens nothing and needs no key.', [
      'arca backup verify   # exit code 1 if an object cannot be restored',
    ]).action((options) =>
      runAction(options, async (output) => (await import('../actions/backup.ts')).runBackupVerify(options, output)),
    ),
  );
  command.addCommand(
    createNodeCommand('drill', 'Rehearse a restore while the node serves; record date and result.', [
      'arca backup drill   # exit code 1 if it did not come to its end',
    ]).action((options) =>
      runAction(options, async (output) => (await import('../actions/backup.ts')).runBackupDrill(options, output)),
    ),
  );
  return command;
}
