/**
 * `arca crs generate|list`: the common reference strings that proofs about inputs are made with.
 */
import { type Command, InvalidArgumentError } from '@commander-js/extra-typings';
import { contextOption, epochOption } from '../client/place-options.ts';
import { createRequestCommand } from '../client/request-command.ts';
import { createCommand, createNodeCommand, paramsOption, runAction } from '../framework/command.ts';

/** Returns the `crs` command with its subcommands. */
export function crsCommand(): Command {
  const command = createCommand('crs', 'Generate and list common reference strings.', []);
  command.addCommand(generateCommand());
  command.addCommand(listCommand());
  return command;
}

function generateCommand() {
  return createRequestCommand('generate', 'Generate a CRS and print its id.', [
    'arca crs generate',
    'arca crs generate --max-bits 2048',
    'arca crs generate --epoch 0f3a…          # in an epoch of your own: arca epoch new',
  ])
    .option('--max-bits <n>', 'bits that one proof may cover; the node chooses if absent', parseBits)
    .addOption(paramsOption())
    .addOption(contextOption())
    .addOption(epochOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/crs.ts')).runGenerateCrs(options, output)),
    );
}

function listCommand() {
  return createNodeCommand('list', 'List the CRSs of a node.', ['arca crs list']).action((options) =>
    runAction(options, async (output) => (await import('../actions/key.ts')).runList(options, 'crs', output)),
  );
}

function parseBits(text: string): number {
  const bits = Number(text);
  if (/^\d{1,4}$/.test(text) && bits <= 2048 && Number.isInteger(Math.log2(bits))) return bits;
  throw new InvalidArgumentError('give a power of two from 1 to 2048');
}
