/**
 * `arca kms policy create|lint|diff`: the policies of root keys in AWS KMS. `arca kms rewrap`: from one key to the next.
 */
import { type Command, Option } from '@commander-js/extra-typings';
import { createCommand, createNodeCommand, jsonOption, runAction } from '../framework/command.ts';
import { charterOption, collect, forceOption, outOption } from '../governance/options.ts';

const engineRoleOption = () =>
  new Option('--engine-role <arn>', 'role under which this party calls AWS').makeOptionMandatory();
const releasesOption = () => new Option('--releases <file>', 'release set in force, or to come').makeOptionMandatory();
const accountOption = () => new Option('--account <id>', 'account of the key; that of --engine-role if absent');

/** Returns the `kms` command with its subcommands. */
export function kmsCommand(): Command {
  const command = createCommand('kms', 'Root keys in AWS KMS.', []);
  const policy = createCommand('policy', 'Make, judge and compare policies of root keys.', []);
  for (const subcommand of [createPolicyCommand(), lintCommand(), diffCommand()]) policy.addCommand(subcommand);
  command.addCommand(policy);
  command.addCommand(rewrapCommand());
  return command;
}

function createPolicyCommand() {
  return createCommand('create', 'Write the policy that lets engines of a release set, under one charter, use a key.', [
    'arca kms policy create --charter party-1.charter --releases 3.cbor \\',
    '      --engine-role arn:aws:iam::111122223333:role/engine --admin-role arn:aws:iam::111122223333:role/kms-admin \\',
    '      --out policy.json',
    'arca kms policy create … --release 1.5.0 --release 1.4.0   # these alone, not all of the set',
  ])
    .addOption(charterOption().makeOptionMandatory())
    .addOption(releasesOption())
    .option(
      '--release <name>',
      'release that may use the key; all of the set that have not ended if absent; repeatable',
      collect,
    )
    .addOption(engineRoleOption())
    .requiredOption('--admin-role <arn>', 'role that may describe, disable and delete the key')
    .addOption(accountOption())
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/kms-policy.ts')).runCreate(options, output)),
    );
}

function lintCommand() {
  return createCommand('lint', 'Judge a key and its policy as engines do; exit code 0 only without an error.', [
    'arca kms policy lint policy.json --charter party-1.charter --releases 3.cbor \\',
    '      --engine-role arn:aws:iam::111122223333:role/engine --describe key.json --grants grants.json',
    'aws kms get-key-policy --key-id ID --policy-name default > policy.json',
    'aws kms describe-key --key-id ID > key.json; aws kms list-grants --key-id ID > grants.json',
  ])
    .argument('<policy>', 'policy, bare or as `aws kms get-key-policy` prints it')
    .addOption(charterOption().makeOptionMandatory())
    .addOption(releasesOption())
    .option('--release <name>', 'release that must be able to use the key; others of the set may; repeatable', collect)
    .addOption(engineRoleOption())
    .addOption(accountOption())
    .option('--describe <file>', 'what `aws kms describe-key` prints: origin, regions, state')
    .option('--grants <file>', 'what `aws kms list-grants` prints')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/kms-policy.ts')).runLint(file, options, output)),
    );
}

function diffCommand() {
  return createCommand('diff', 'Say in what two policies differ; exit code 0 only if engines take them for one.', [
    'arca kms policy diff policy-of-the-key.json policy-as-agreed.json',
  ])
    .argument('<first>', 'policy, bare or as `aws kms get-key-policy` prints it')
    .argument('<second>', 'another one')
    .addOption(jsonOption())
    .action((first, second, options) =>
      runAction(options, async (output) => (await import('../actions/kms-policy.ts')).runDiff(first, second, output)),
    );
}

function rewrapCommand() {
  return createNodeCommand(
    'rewrap',
    'Have the node seal its vault anew, under the root key that the governed record names; may be repeated.',
    [
      'arca record propose … --root-key 2=arn:aws:kms:…        # the new key; the old one becomes the previous one',
      'arca record apply record-4.cbor                         # then start the node again, and:',
      'arca kms rewrap',
    ],
  ).action((options) =>
    runAction(options, async (output) => (await import('../actions/kms-rewrap.ts')).runRewrap(options, output)),
  );
}
