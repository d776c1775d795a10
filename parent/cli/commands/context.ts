/**
 * `arca context list|new|destroy`: the MPC contexts of a threshold node or of a whole quorum.
 */
import { type Command, InvalidArgumentError } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, runAction } from '../framework/command.ts';

/** Returns the `context` command with its subcommands. */
export function contextCommand(): Command {
  const command = createCommand('context', 'List, make and destroy the MPC contexts of a quorum.', []);
  command.addCommand(
    createNodeCommand('list', 'List the contexts with their parties and epochs.', ['arca context list']).action(
      (options) =>
        runAction(options, async (output) => (await import('../actions/context.ts')).runContextList(options, output)),
    ),
  );
  command.addCommand(
    createNodeCommand('new', 'Make a context of parties of the governed record, at all of them.', [
      'arca context new',
      'arca context new --parties 4            # of the first four of a larger quorum',
    ])
      .option('--id <id>', 'id of the context; a random one if absent')
      .option('--parties <n>', 'how many parties, from the first on: 4, 7, 10 or 13; all if absent', parseCount)
      .action((options) =>
        runAction(options, async (output) => (await import('../actions/context.ts')).runContextNew(options, output)),
      ),
  );
  command.addCommand(
    createNodeCommand('destroy', 'Destroy a context at all parties, with its epochs and the shares of their keys.', [
      'arca context destroy 0f3a… --yes',
    ])
      .argument('<id>', 'id of the context')
      .option('--yes', 'yes, the keys of its epochs are to be lost')
      .action((id, options) =>
        runAction(options, async (output) =>
          (await import('../actions/context.ts')).runContextDestroy(id, options, output),
        ),
      ),
  );
  return command;
}

function parseCount(text: string): number {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('give 4, 7, 10 or 13');
}
