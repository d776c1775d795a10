/**
 * `arca verify`: checks an answer, a key or a CRS against a signer and the digests that were signed.
 */
import {
  domainChainOption,
  domainContractOption,
  domainNameOption,
  domainVersionOption,
  extraDataOption,
} from '../client/domain-options.ts';
import { createCommand, dirOption, jsonOption, publicUrlOption, runAction, urlOption } from '../framework/command.ts';

/** Returns the `verify` command. */
export function verifyCommand() {
  return createCommand('verify', 'Verify an answer, a key or a CRS: who signed, and over what.', [
    'arca decrypt answer.ct --out result.json && arca verify result.json --signer 0x6370…',
    'arca verify --key 0f3a…          # downloads the objects, checks digests and signature',
    'arca verify --crs 77b1…',
  ])
    .argument('[file]', "answer of 'arca decrypt --out FILE' or '--json'; - is standard input")
    .option('--key <id>', 'verify the public objects of this key')
    .option('--crs <id>', 'verify this CRS')
    .option('--signer <address>', "address that must have signed; the node's own if absent")
    .addOption(dirOption())
    .addOption(urlOption())
    .addOption(publicUrlOption())
    .addOption(domainNameOption())
    .addOption(domainVersionOption())
    .addOption(domainChainOption())
    .addOption(domainContractOption())
    .addOption(extraDataOption())
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/verify.ts')).runVerify(file, options, output)),
    );
}
