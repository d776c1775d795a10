/**
 * `arca charter create|show|check`: what of a party never changes.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, jsonOption, runAction } from '../framework/command.ts';
import { collect, forceOption, outOption } from '../governance/options.ts';

/** Returns the `charter` command with its subcommands. */
export function charterCommand(): Command {
  const command = createCommand('charter', 'Make, show and check the charter of a party.', []);
  command.addCommand(createCharterCommand());
  command.addCommand(showCommand());
  command.addCommand(checkCommand());
  return command;
}

function createCharterCommand() {
  return createCommand('create', 'Write the charter of a party: what never changes.', [
    'arca charter create --network mainnet-1 --party 1 --threshold 3 \\',
    '      --governance-key a.pub.pem --governance-key b.pub.pem --governance-key c.pub.pem \\',
    '      --governance-key d.pub.pem --out party-1.charter',
    'arca charter create --from party-1.charter --party 2 --out party-2.charter',
  ])
    .option('--from <file>', 'charter in either form whose fields hold unless other options say more')
    .option('--network <id>', "network id; networks of developer mode begin with 'dev:'")
    .option('--party <number>', 'number of the party, from 1')
    .option('--governance-key <key>', 'public key of a person: 64 hex digits or a PEM file; repeatable', collect)
    .option('--threshold <m>', 'how many governance keys must sign; at least 2t + 1')
    .option('--anchor <root>', 'attestation root: certificate file, or its SHA-256 in hex; that of AWS if absent')
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/charter.ts')).runCreate(options, output)),
    );
}

function showCommand() {
  return createCommand('show', 'Show a charter, its digest and the PCR16 of its engine.', [
    'arca charter show party-1.charter',
    'arca charter show party-1.charter --party 2     # what party 2 of the same network must have',
  ])
    .argument('<file>', 'charter in either form')
    .option('--party <number>', 'show that of another party of the network')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/charter.ts')).runShow(file, options, output)),
    );
}

function checkCommand() {
  return createCommand('check', 'Check a charter; every fault is explained.', ['arca charter check party-1.charter'])
    .argument('<file>', 'charter in either form')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/charter.ts')).runCheck(file, output)),
    );
}
