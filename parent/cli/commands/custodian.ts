/**
 * `arca custodian generate|verify|trust|challenge|decrypt`: the custodians' own tool. It talks to no node.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, jsonOption, runAction } from '../framework/command.ts';
import { forceOption, outOption } from '../governance/options.ts';

/** Returns the `custodian` command with its subcommands. */
export function custodianCommand(): Command {
  const command = createCommand('custodian', 'For custodians, offline: words, whom to help, and helping.', []);
  command.addCommand(generateCommand());
  command.addCommand(verifyCommand());
  command.addCommand(trustCommand());
  command.addCommand(challengeCommand());
  command.addCommand(decryptCommand());
  return command;
}

const WORDS_FD = 'descriptor to read the words from, instead of the terminal';
const ROLE = 'number of the custodian, from 1';

function generateCommand() {
  return createCommand(
    'generate',
    'Make the words of a custodian, see that they are on paper, write its setup message.',
    ['arca custodian generate --role 1 --name "Ada" --out ada.setup'],
  )
    .requiredOption('--role <number>', ROLE)
    .requiredOption('--name <text>', 'name for people; not secret, and nobody vouches for it')
    .option('--words-fd <number>', `${WORDS_FD}, when they are typed back`)
    .option('--words-out-fd <number>', 'descriptor to write the bare words to, instead of the terminal')
    .option('--sheet-fd <number>', 'descriptor to write the sheet with the words to, for a printer')
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/custodian-keys.ts')).runGenerate(options, output)),
    );
}

function verifyCommand() {
  return createCommand('verify', 'See that the words on paper make the keys of a setup message, and open the share.', [
    'arca custodian verify --setup ada.setup',
    'arca custodian verify --setup ada.setup --material RecoveryMaterial --trust party-1.trust',
  ])
    .requiredOption('--setup <file>', 'setup message, as generate wrote it')
    .option('--material <file>', "the node's recovery material: public object RecoveryMaterial/<custodian context>")
    .option('--trust <file>', 'trust file: whose recovery material it must be')
    .option('--words-fd <number>', WORDS_FD)
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/custodian-keys.ts')).runVerify(options, output)),
    );
}

function trustCommand() {
  return createCommand('trust', 'Write whom a custodian helps, and the words that go onto its paper.', [
    'arca custodian trust --charter party-1.charter --record network.record \\',
    '      --custodian-context ID --minimum-release-set 3 --out party-1.trust',
  ])
    .requiredOption('--charter <file>', "charter of the node's party")
    .requiredOption('--record <file>', 'governed record in force: release keys, address, MPC context')
    .requiredOption('--custodian-context <id>', 'id of the custodian context')
    .requiredOption('--minimum-release-set <version>', 'oldest release set whose measurements count')
    .option('--address <address>', "address of the node's key, if the record has none")
    .option('--mpc-context <id>', 'MPC context, if it is not that of the record')
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) =>
        (await import('../actions/custodian-recovery.ts')).runTrust(options, output),
      ),
    );
}

function challengeCommand() {
  return createCommand('challenge', 'Draw 16 random bytes that a recovery request has to answer.', [
    'arca custodian challenge     # write it down and give it to the operator',
  ])
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/custodian-keys.ts')).runChallenge(output)),
    );
}

function decryptCommand() {
  return createCommand('decrypt', 'Verify a recovery request and answer it with the own share.', [
    'arca custodian decrypt --role 1 --request ada.request --trust party-1.trust \\',
    '      --releases releases.cbor --challenge 00112233445566778899aabbccddeeff --out ada.answer',
  ])
    .requiredOption('--role <number>', ROLE)
    .requiredOption('--request <file>', 'recovery request, made for the challenge')
    .option('--trust <file>', 'whom to help; its words are compared with the paper')
    .option(
      '--trust-words <words>',
      'the eight words on the paper (not secret), instead of the question on the terminal',
    )
    .option('--releases <file>', 'release set, signed and approved')
    .option('--challenge <hex>', "what 'arca custodian challenge' printed")
    .option('--root <file>', 'attestation root that the charter names, in developer mode')
    .option('--unverified', 'answer whoever asks: gives up every proof of who can read the share')
    .option('--words-fd <number>', WORDS_FD)
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) =>
        (await import('../actions/custodian-recovery.ts')).runDecrypt(options, output),
      ),
    );
}
