/**
 * `arca decrypt`: decrypts ciphertexts publicly, or with `--for-user` for one user's eyes.
 */
import {
  domainChainOption,
  domainContractOption,
  domainNameOption,
  domainVersionOption,
  extraDataOption,
} from '../client/domain-options.ts';
import { createCommand, dirOption, jsonOption, publicUrlOption, runAction, urlOption } from '../framework/command.ts';

/** Returns the `decrypt` command. */
export function decryptCommand() {
  return createCommand('decrypt', 'Decrypt ciphertexts, publicly or for one user, and verify the answer.', [
    'arca decrypt answer.ct',
    'arca decrypt a.ct b.ct --out result.json        # verify it later: arca verify result.json',
    'arca decrypt answer.ct --for-user               # makes a user key pair in <dir>/users, or reuses it',
  ])
    .argument('<files...>', "ciphertext files of 'arca encrypt'; - is standard input")
    .option('--for-user', 'encrypt the answer to a user, who decodes it here')
    .option('--user <name>', 'name of the user key pair', 'default')
    .option('--signer <address>', "address that must have signed; the node's own if absent")
    .option('-o, --out <file>', 'write the answer there, for arca verify')
    .addOption(dirOption())
    .addOption(urlOption())
    .addOption(publicUrlOption())
    .addOption(domainNameOption())
    .addOption(domainVersionOption())
    .addOption(domainChainOption())
    .addOption(domainContractOption())
    .addOption(extraDataOption())
    .addOption(jsonOption())
    .action((files, options) =>
      runAction(options, async (output) => (await import('../actions/decrypt.ts')).runDecrypt(files, options, output)),
    );
}
