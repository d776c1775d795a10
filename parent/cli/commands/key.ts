/**
 * `arca key generate|list|show`: the FHE keys of a node.
 */
import type { Command } from '@commander-js/extra-typings';
import { contextOption, epochOption } from '../client/place-options.ts';
import { createRequestCommand } from '../client/request-command.ts';
import { createCommand, createNodeCommand, paramsOption, publicUrlOption, runAction } from '../framework/command.ts';

/** Returns the `key` command with its subcommands. */
export function keyCommand(): Command {
  const command = createCommand('key', 'Generate, list and show FHE keys.', []);
  command.addCommand(generateCommand());
  command.addCommand(listCommand());
  command.addCommand(showCommand());
  return command;
}

function generateCommand() {
  return createRequestCommand('generate', 'Generate an FHE key and print its id.', [
    'arca key generate                       # with the parameters the node was started for',
    'arca key generate --params default      # production parameters: about a minute, 500 MB of public keys',
    'arca key generate --context 07ab… --epoch 0f3a…   # in a context and epoch of your own: arca epoch new',
  ])
    .addOption(paramsOption())
    .addOption(contextOption())
    .addOption(epochOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/key.ts')).runGenerate(options, output)),
    );
}

function listCommand() {
  return createNodeCommand('list', 'List the FHE keys of a node.', ['arca key list', 'arca key list --json']).action(
    (options) =>
      runAction(options, async (output) => (await import('../actions/key.ts')).runList(options, 'key', output)),
  );
}

function showCommand() {
  return createNodeCommand('show', 'Show what the node signed about a key.', ['arca key show', 'arca key show 0f3a…'])
    .argument('[id]', 'id of the key; the one generated last if absent')
    .addOption(publicUrlOption())
    .action((id, options) =>
      runAction(options, async (output) => (await import('../actions/key.ts')).runShow(id, options, output)),
    );
}
