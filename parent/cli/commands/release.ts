/**
 * `arca release create|sign|show|check|apply`: which measurements are trusted, from when until when.
 */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, jsonOption, runAction } from '../framework/command.ts';
import { charterOption, collect, forceOption, keyOption, outOption, recordOption } from '../governance/options.ts';

/** Returns the `release` command with its subcommands. */
export function releaseCommand(): Command {
  const command = createCommand('release', 'Make, sign, show, check and apply release sets.', []);
  for (const subcommand of [createSetCommand(), signCommand(), showCommand(), checkCommand(), applyCommand()]) {
    command.addCommand(subcommand);
  }
  return command;
}

function createSetCommand() {
  return createCommand('create', 'Write a release set for release keys to sign.', [
    'arca release create --network mainnet-1 --release 1.4.0 --engine pcr.json --core tpm.json --days 180 --out 1.cbor',
    'arca release create --previous 1.cbor --release 1.5.0 --engine pcr.json --supersede 1.4.0=1.5.0 --out 2.cbor',
    'arca release create --previous 2.cbor --remove 1.4.0 --out 3.cbor       # removals hold at once',
    'arca attest document --out own.doc && arca release create --engine own.doc --anchor root.pem …  # what runs here',
  ])
    .option('--previous <file>', 'release set whose entries are kept; the version is counted up')
    .option('--network <id>', 'network id; that of --previous if absent')
    .option('--version-number <n>', 'version, if not the next one')
    .option('--release <name>', 'name of the release that is added')
    .option('--engine <file>', 'measurement of its engine; repeatable', collect)
    .option('--core <file>', 'measurement of its Core; repeatable', collect)
    .option('--connector <file>', 'measurement of its Connector; repeatable', collect)
    .option('--anchor <file>', 'root certificate of measurements that are documents; that of AWS if absent')
    .option('--not-before <time>', 'from when it is trusted; now if absent')
    .option('--not-after <time>', 'until when')
    .option('--days <n>', 'in place of --not-after: for how many days from --not-before')
    .option('--supersede <old=new>', 'say that a release has a successor; repeatable', collect)
    .option('--extend <name>', 'move the end of every entry of this release to --not-after; repeatable', collect)
    .option('--remove <name>', 'leave out every entry of this release; repeatable', collect)
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/release-create.ts')).runCreate(options, output)),
    );
}

function signCommand() {
  return createCommand('sign', 'Add the signature of your release key to a release set, in its file.', [
    'arca release sign 2.cbor --key release.pem --record record-1.cbor',
  ])
    .argument('<file>', 'release set')
    .addOption(keyOption())
    .addOption(recordOption())
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/release.ts')).runSign(file, options, output)),
    );
}

function showCommand() {
  return createNodeCommand('show', 'Show a release set; without a file, those of the node.', [
    'arca release show 2.cbor',
    'arca release show                       # in force and pending on the node',
  ])
    .argument('[file]', 'release set in either form')
    .addOption(charterOption())
    .addOption(recordOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/release.ts')).runShow(file, options, output)),
    );
}

function checkCommand() {
  return createCommand('check', 'Check a release set as engines do; exit code 0 only without a fault.', [
    'arca release check 2.cbor --record record-1.cbor --charter party-1.charter --previous 1.cbor',
  ])
    .argument('<file>', 'release set in either form')
    .addOption(charterOption())
    .addOption(recordOption())
    .option('--previous <file>', 'release set in force: the version must come after it')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/release.ts')).runCheck(file, options, output)),
    );
}

function applyCommand() {
  return createNodeCommand('apply', 'Hand a signed and approved release set to the node; its engine checks it.', [
    'arca release apply 2.cbor',
  ])
    .argument('<file>', 'release set with all signatures')
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/release.ts')).runApply(file, options, output)),
    );
}
