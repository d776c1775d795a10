/**
 * `arca import`: brings a whole client key of another system into a stopped developer node, or splits it among the parties
 * of a stopped developer quorum. `arca import zama-vault`: takes over the vaults of a node of the published layout.
 */
import { type Command, Option } from '@commander-js/extra-typings';
import {
  domainChainOption,
  domainContractOption,
  domainNameOption,
  domainVersionOption,
  extraDataOption,
} from '../client/domain-options.ts';
import { createCommand, dirOption, jsonOption, runAction } from '../framework/command.ts';

/** Returns the `import` command. */
export function importCommand(): Command {
  return createCommand(
    'import',
    'Import a whole TFHE client key into a stopped developer node or quorum. Whoever runs this sees the whole key.',
    [
      'arca import --client-key client.key                                        # new public keys are made for it',
      'arca import --client-key client.key --public-key pk.bin --key-set set.bin  # its own public keys, checked',
      'arca import --client-key client.key --dir ./my-quorum --key-id 0f3a…       # shares for all parties',
    ],
  )
    .addOption(dirOption())
    .option('--client-key <file>', "safe serialization of tfhe's ClientKey, of the parameters default or test")
    .option('--public-key <file>', 'its CompactPublicKey; with --key-set or --server-key')
    .option('--key-set <file>', 'its CompressedXofKeySet')
    .option('--server-key <file>', 'its ServerKey, instead of --key-set')
    .addOption(
      new Option('--layout <kind>', 'how new public keys are laid out')
        .choices(['compressed', 'uncompressed'] as const)
        .default('compressed' as const),
    )
    .option('--key-id <id>', 'id of the key; its tag if absent')
    .option('--epoch <id>', 'epoch of the key; the default epoch if absent')
    .addOption(domainNameOption())
    .addOption(domainVersionOption())
    .addOption(domainChainOption())
    .addOption(domainContractOption())
    .addOption(extraDataOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/import.ts')).runImport(options, output)),
    )
    .addCommand(vaultCommand());
}

function vaultCommand(): Command {
  return createCommand(
    'zama-vault',
    'Take over the vaults of a stopped node of the published layout: its signing key if there is none here, its keys or key shares, its CRSs.',
    [
      'arca import zama-vault --from keys/PRIV --public-from keys/PUB                    # vaults in clear',
      'arca import zama-vault --from keys/PRIV-p2 --public-from keys/PUB-p2 --party 2    # one party of a quorum',
      'arca import zama-vault --from PRIV --public-from PUB --root-key arn:aws:kms:… --aws aws.toml',
      'arca import zama-vault --from PRIV-p1 --public-from PUB-p1 --dir q --new-aws-quorum 4 --party 1  # its signing key',
      'arca import zama-vault --config /etc/arca/node.toml --from s3://old/PRIV-p1 --public-from s3://old/PUB-p1 --root-key arn:aws:kms:… # in the enclave',
      'arca import zama-vault --from PRIV --public-from PUB --dir moved --new-aws-node  # keeps its address; then: arca dev --aws --dir moved',
    ],
  )
    .addOption(dirOption())
    .requiredOption('--from <folder>', 'private vault of the node, its prefix included; a copy of its bucket')
    .requiredOption('--public-from <folder>', 'public vault of the node, its prefix included')
    .option('--party <number>', 'the party of a quorum that takes it over')
    .option('--root-key <arn>', 'key of AWS KMS that sealed the private vault; in clear if absent')
    .addOption(
      new Option('--root-key-spec <kind>', 'kind of that key: symmetric, or RSA-4096')
        .choices(['symm', 'asymm'] as const)
        .default('symm' as const),
    )
    .option('--aws <file>', '[aws] for that key, as in node.toml: region, credentials, developer_kms_endpoint')
    .option('--new-aws-node', "makes a node of 'arca dev --aws' in --dir that takes over the signing key, too")
    .option(
      '--new-aws-quorum <parties>',
      "makes a quorum of 'arca dev --aws' in --dir; its --party takes over the signing key",
    )
    .option(
      '--config <file>',
      "configuration of a node of 'arca run', whose enclave does it; the vaults are s3://BUCKET/PREFIX",
    )
    .option('--identity-only', 'take the signing key alone, before the quorum has made its epoch')
    .option('--epoch <id>', 'epoch to put everything in; the one it has there if absent')
    .addOption(domainNameOption())
    .addOption(domainVersionOption())
    .addOption(domainChainOption())
    .addOption(domainContractOption())
    .addOption(jsonOption())
    .action((_options, command) => {
      // The parent has some of these options, too, and what stands behind the command's name is found there.
      const options = command.optsWithGlobals();
      return runAction(options, async (output) =>
        (await import('../actions/import-vault.ts')).runImportVault(options, output),
      );
    });
}
