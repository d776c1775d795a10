/**
 * `arca dev`: a node for developers, engine and core, supervised, in one state folder; or a quorum of such nodes.
 */
import { Option } from '@commander-js/extra-typings';
import { createCommand, dirOption, jsonOption, paramsOption, parsePort, runAction } from '../framework/command.ts';
import { usageFailure } from '../framework/failure.ts';

/** Returns the `dev` command. */
export function devCommand() {
  return createCommand('dev', 'Run a node, or a quorum of nodes, in developer mode until Ctrl-C.', [
    'arca dev',
    'arca dev --dir ./my-node --params default',
    'arca dev --reset                        # forget all keys of this folder first',
    'arca dev --parties 4                    # four parties that share every key; nobody holds one',
    'arca dev --parties 4 --aws              # vaults sealed in S3 under keys of AWS KMS, both emulated',
    'arca dev --parties 4 --lie-party 2      # one of them sends wrong shares: nobody minds',
    'arca dev --port 0 --public-port 0 --ops-port 0 --json',
  ])
    .addOption(dirOption())
    .addOption(paramsOption().default('test' as const))
    .option('--reset', 'clear the state folder first, if it is one of ours')
    .addOption(partiesOption())
    .option('--aws', 'keep vaults sealed in S3 under keys of AWS KMS, both emulated here, in place of clear files')
    .addOption(backupOption())
    .option('--kill-party <i>', 'kill this party once all are ready; may be repeated', collectParty)
    .option('--lie-party <i>', 'let this party send wrong shares; may be repeated', collectParty)
    .option('--port <port>', 'port for gRPC clients, 50051, of party i 50000 + 100 i (0 = any free one)', parsePort)
    .option(
      '--mesh-port <port>',
      'port of the mesh of party 1, 50001; of the next 100 more (0 = any free one)',
      parsePort,
    )
    .option('--public-port <port>', 'port of the public material', parsePort, 9000)
    .option('--ops-port <port>', 'port of metrics and health; of party i 100 (i - 1) more', parsePort, 9646)
    .addOption(logLevelOption())
    .option('--v0-extra-data-as-empty', 'sign empty extra_data where a request has 0x00, for clients of 0.12')
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) =>
        (await import('../actions/dev.ts')).runDev({ ...options, parties: Number(options.parties) }, output),
      ),
    );
}

/** `--parties`. */
const partiesOption = () =>
  new Option('--parties <n>', 'how many parties share the keys: 1 (a single node), or 3t + 1')
    .choices(['1', '4', '7', '10', '13'] as const)
    .default('1' as const);

/** `--backup`. */
const backupOption = () =>
  new Option('--backup <keychain>', 'with --aws: what seals backups, as before unless given, aws-kms at first').choices(
    ['aws-kms', 'custodians'] as const,
  );

/** Reads the number of a party of an option that may be repeated. */
function collectParty(text: string, before: readonly number[] | undefined): readonly number[] {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw usageFailure(`'${text}' is no party`, 'give a number of 1 or more');
  const party = Number(text);
  return before?.includes(party) ? before : [...(before ?? []), party];
}

/** `--log-level`, for the commands that start a node. */
export const logLevelOption = () =>
  new Option('--log-level <level>', 'how much goes to node.log')
    .choices(['trace', 'debug', 'info', 'warn', 'error'] as const)
    .default('info' as const);
