/**
 * `arca proposal show|approve|apply|status`: what governance signs, and how far that has come.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, runAction } from '../framework/command.ts';
import { charterOption, forceOption, keyOption } from '../governance/options.ts';

/** Returns the `proposal` command with its subcommands. */
export function proposalCommand(): Command {
  const command = createCommand('proposal', 'Show and approve changes that need governance signatures.', []);
  for (const subcommand of [showCommand(), approveCommand(), applyCommand(), statusCommand()]) {
    command.addCommand(subcommand);
  }
  return command;
}

function showCommand() {
  return createNodeCommand('show', 'Show what would be signed: a file, or a proposal that the node knows of.', [
    'arca proposal show release-7.cbor --charter party-1.charter',
    'arca proposal show 5f2c9d01                 # first digits of what an error named',
    'arca proposal show 5f2c9d01 --out p.cbor    # for people without a node to sign',
  ])
    .argument('<subject>', 'record, release set or proposal file, or a digest')
    .addOption(charterOption())
    .option('--out <file>', 'write the unsigned proposal there')
    .addOption(forceOption())
    .action((subject, options) =>
      runAction(options, async (output) => (await import('../actions/proposal.ts')).runShow(subject, options, output)),
    );
}

function approveCommand() {
  return createNodeCommand('approve', 'Sign a proposal with your governance key.', [
    'arca proposal approve release-7.cbor --key governance.pem --charter party-1.charter   # signs in the file',
    'arca proposal approve 5f2c9d01 --key governance.pem                # one that the node was asked for',
  ])
    .argument('<subject>', 'record, release set or proposal file, or a digest')
    .addOption(keyOption())
    .addOption(charterOption())
    .action((subject, options) =>
      runAction(options, async (output) =>
        (await import('../actions/proposal.ts')).runApprove(subject, options, output),
      ),
    );
}

function applyCommand() {
  return createNodeCommand('apply', 'Hand a proposal with its signatures to the node.', ['arca proposal apply p.cbor'])
    .argument('<file>', 'proposal that was signed')
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/proposal.ts')).runApply(file, options, output)),
    );
}

function statusCommand() {
  return createNodeCommand('status', 'List the proposals of the node; or tell how far the one of a file has come.', [
    'arca proposal status',
    'arca proposal status release-7.cbor --charter party-1.charter',
  ])
    .argument('[file]', 'record, release set or proposal; exit code 1 while signatures are missing')
    .addOption(charterOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/proposal.ts')).runStatus(file, options, output)),
    );
}
