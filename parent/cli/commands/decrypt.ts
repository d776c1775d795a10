/**
 * `arca decrypt`: decrypts ciphertexts publicly, or with `--for-user` for one user's eyes.
 */
import { contextOption, epochOption } from '../client/place-options.ts';
import { createRequestCommand } from '../client/request-command.ts';
import { runAction } from '../framework/command.ts';

/** Returns the `decrypt` command. */
export function decryptCommand() {
  return createRequestCommand('decrypt', 'Decrypt ciphertexts, publicly or for one user, and verify the answer.', [
    'arca decrypt answer.ct',
    'arca decrypt a.ct b.ct --out result.json        # verify it later: arca verify result.json',
    'arca decrypt answer.ct --for-user               # makes a user key pair in <dir>/users, or reuses it',
    'arca decrypt answer.ct --epoch 0f3a…            # under a key that was made with this --epoch',
  ])
    .argument('<files...>', "ciphertext files of 'arca encrypt'; - is standard input")
    .option('--for-user', 'encrypt the answer to a user, who decodes it here')
    .option('--user <name>', 'name of the user key pair', 'default')
    .option('--signer <address>', "address that must have signed; the node's own if absent")
    .addOption(contextOption())
    .addOption(epochOption())
    .option('-o, --out <file>', 'write the answer there, for arca verify')
    .action((files, options) =>
      runAction(options, async (output) => (await import('../actions/decrypt.ts')).runDecrypt(files, options, output)),
    );
}
