/**
 * `arca import`: brings a whole client key of another system into a stopped developer node, or splits it among the parties
 * of a stopped developer quorum.
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
    .requiredOption('--client-key <file>', "safe serialization of tfhe's ClientKey, of the parameters default or test")
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
    );
}
