/**
 * `arca encrypt`: encrypts a value under a key of a node, as a coprocessor hands it to a KMS.
 */
import { Option } from '@commander-js/extra-typings';
import { FORMAT_NAMES } from '../client/ciphertext-names.ts';
import { contextOption } from '../client/place-options.ts';
import { createRequestCommand } from '../client/request-command.ts';
import { runAction } from '../framework/command.ts';

/** Returns the `encrypt` command. */
export function encryptCommand() {
  return createRequestCommand('encrypt', 'Encrypt a value under a key of a node.', [
    'arca encrypt --type euint64 42 --out answer.ct',
    'arca encrypt --type ebool true | arca decrypt -',
    'arca encrypt --type euint8 7 --format small-expanded --key 0f3a…',
  ])
    .argument('<value>', 'decimal, 0x…, true or false')
    .requiredOption(
      '-t, --type <type>',
      'ebool, euint4, euint8, euint16, euint32, euint64, euint128, euint160, euint256, …',
    )
    .addOption(
      new Option('--format <format>', 'form of the ciphertext').choices(FORMAT_NAMES).default('big-compressed'),
    )
    .option('--key <id>', 'key to encrypt under; the one generated last if absent')
    .addOption(contextOption())
    .option('-o, --out <file>', 'write the ciphertext file there instead of standard output')
    .action((value, options) =>
      runAction(options, async (output) => (await import('../actions/encrypt.ts')).runEncrypt(value, options, output)),
    );
}
