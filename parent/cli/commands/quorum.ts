/**
 * `arca quorum restart collect|make|show|apply`: how governance lets a quorum go on of which more parties came out of
 * backups than may forget.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, jsonOption, runAction } from '../framework/command.ts';
import { charterOption, forceOption, outOption } from '../governance/options.ts';

/** Returns the `quorum` command with its subcommands. */
export function quorumCommand(): Command {
  const command = createCommand('quorum', 'What concerns all parties of a quorum.', []);
  const restart = createCommand('restart', 'Go on after more parties were restored than a quorum can forget.', []);
  for (const subcommand of [collectCommand(), makeCommand(), showCommand(), applyCommand()]) {
    restart.addCommand(subcommand);
  }
  command.addCommand(restart);
  return command;
}

function collectCommand() {
  return createNodeCommand('collect', 'Write what this party says of its start, and remembers of others.', [
    'arca quorum restart collect --out party-2.starts     # each operator, for the one who makes the restart',
  ])
    .addOption(outOption())
    .addOption(forceOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/quorum-restart.ts')).runCollect(options, output)),
    );
}

function makeCommand() {
  return createCommand('make', 'Put together what 2t + 1 parties say, as governance has to sign it.', [
    'arca quorum restart make party-*.starts --charter party-1.charter --out restart.cbor',
    'arca proposal approve restart.cbor.proposal --key governance.pem --charter party-1.charter',
  ])
    .argument('<files...>', 'what parties have collected')
    .addOption(charterOption().makeOptionMandatory())
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((files, options) =>
      runAction(options, async (output) =>
        (await import('../actions/quorum-restart.ts')).runMake(files, options, output),
      ),
    );
}

function showCommand() {
  return createCommand('show', 'Show from which states a restart goes on, and what governance signs for it.', [
    'arca quorum restart show restart.cbor',
  ])
    .argument('<file>', 'restart that was made')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/quorum-restart.ts')).runShow(file, output)),
    );
}

function applyCommand() {
  return createNodeCommand('apply', 'Hand a restart, with its approval, to this party.', [
    'arca quorum restart apply restart.cbor --proposal restart.cbor.proposal',
  ])
    .argument('<file>', 'restart that was made')
    .option('--proposal <file>', 'the proposal with its signatures, unless the node has it')
    .action((file, options) =>
      runAction(options, async (output) =>
        (await import('../actions/quorum-restart.ts')).runApply(file, options, output),
      ),
    );
}
