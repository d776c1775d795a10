/**
 * `arca verify`: checks an answer, a key or a CRS against a signer and the digests that were signed.
 */
import { createRequestCommand } from '../client/request-command.ts';
import { runAction } from '../framework/command.ts';

/** Returns the `verify` command. */
export function verifyCommand() {
  return createRequestCommand('verify', 'Verify an answer, a key or a CRS: who signed, and over what.', [
    'arca decrypt answer.ct --out result.json && arca verify result.json --signer 0x6370…',
    'arca verify --key 0f3a…          # downloads the objects, checks digests and signature',
    'arca verify --crs 77b1…',
  ])
    .argument('[file]', "answer of 'arca decrypt --out FILE' or '--json'; - is standard input")
    .option('--key <id>', 'verify the public objects of this key')
    .option('--crs <id>', 'verify this CRS')
    .option(
      '--signer <address>',
      'address that must have signed, the one that the node attests if absent; of a quorum all, with commas',
    )
    .option('--expect <file>', 'measurements that are trusted when the node is not on --dir (JSON)')
    .option('--root <file>', "root to trust instead of AWS's or that of --dir")
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/verify.ts')).runVerify(file, options, output)),
    );
}
