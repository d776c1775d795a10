/**
 * `arca record propose|sign|show|apply`: the governed record, what of a network may change.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, jsonOption, runAction } from '../framework/command.ts';
import { charterOption, collect, forceOption, keyOption, outOption } from '../governance/options.ts';

/** Returns the `record` command with its subcommands. */
export function recordCommand(): Command {
  const command = createCommand('record', 'Propose, sign, show and apply the governed record of a network.', []);
  for (const subcommand of [proposeCommand(), signCommand(), showCommand(), applyCommand()]) {
    command.addCommand(subcommand);
  }
  return command;
}

function proposeCommand() {
  return createCommand('propose', 'Write a record for governance to sign; nothing changes yet.', [
    'arca record propose --charter party-1.charter --from record.json --out record-1.cbor',
    'arca record propose --charter party-1.charter --previous record-1.cbor \\',
    '      --release-key new.pub.pem --party 2=0x6370…@party-2.example.org:50200 --out record-2.cbor',
  ])
    .addOption(charterOption().makeOptionMandatory())
    .option('--from <file>', 'JSON of the fields: releaseKeys, parties, context, authorizationPolicy, …')
    .option('--previous <file>', 'record in force: its fields hold unless others are given, its version is counted up')
    .option('--release-key <key>', 'public key that may sign release sets, in place of all before; repeatable', collect)
    .option('--party <party>', 'a party as NUMBER=ADDRESS@HOST:PORT, in place of it; repeatable', collect)
    .option('--root-key <key>', 'AWS KMS keys of a party as NUMBER=ARN[,ARN-FOR-BACKUPS]; repeatable', collect)
    .option(
      '--key-policy <policy>',
      "policy of a party's first root key as NUMBER=FILE: engines take it with no other; repeatable",
      collect,
    )
    .option('--context <id>', 'MPC context: 64 hex digits')
    .option('--policy <name>', 'authorization policy')
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/record.ts')).runPropose(options, output)),
    );
}

function signCommand() {
  return createCommand('sign', 'Add your governance signature to a record, in its file.', [
    'arca record sign record-2.cbor --key governance.pem --charter party-1.charter',
  ])
    .argument('<file>', 'record of `arca record propose`')
    .addOption(keyOption())
    .addOption(charterOption().makeOptionMandatory())
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/record.ts')).runSign(file, options, output)),
    );
}

function showCommand() {
  return createNodeCommand('show', 'Show a record and who has signed it; without a file, that of the node.', [
    'arca record show record-2.cbor --charter party-1.charter',
    'arca record show --json',
  ])
    .argument('[file]', 'record in either form; the one that the node holds if absent')
    .addOption(charterOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/record.ts')).runShow(file, options, output)),
    );
}

function applyCommand() {
  return createNodeCommand('apply', 'Hand a signed record to the node; its engine checks it.', [
    'arca record apply record-2.cbor',
  ])
    .argument('<file>', 'record with enough signatures')
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/record.ts')).runApply(file, options, output)),
    );
}
