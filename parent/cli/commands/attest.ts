/**
 * `arca attest document|verify|explain|pcrs`: what code a node runs, shown and checked.
 */
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { createCommand, dirOption, jsonOption, publicUrlOption, runAction, urlOption } from '../framework/command.ts';

/** Returns the `attest` command with its subcommands. */
export function attestCommand(): Command {
  const command = createCommand('attest', 'Show and check which code a node runs.', []);
  command.addCommand(documentCommand());
  command.addCommand(verifyCommand());
  command.addCommand(explainCommand());
  command.addCommand(pcrsCommand());
  return command;
}

function documentCommand() {
  return createCommand('document', 'Fetch an attestation document of a node, with the facts that it commits to.', [
    'arca attest document --out node.json',
    'arca attest document --nonce 00112233445566778899aabbccddeeff --json',
  ])
    .option('--nonce <hex>', '8 to 64 bytes of yours that the document must carry; random if absent', parseNonce)
    .option('-o, --out <file>', 'write the JSON there instead of standard output')
    .addOption(dirOption())
    .addOption(urlOption())
    .addOption(publicUrlOption())
    .addOption(jsonOption())
    .action((options) =>
      runAction(options, async (output) => (await import('../actions/attest.ts')).runDocument(options, output)),
    );
}

function verifyCommand() {
  return createCommand('verify', 'Check a node, or a document in a file; exit code 0 only if everything holds.', [
    'arca attest verify 127.0.0.1:9000 --dir ./.arca           # a developer node of yours',
    'arca attest verify kms.example.com:9000 --expect release.json',
    'arca attest verify node.json --expect release.json --json',
  ])
    .argument(
      '<target>',
      'HOST:PORT of the public material of a node, grpcs://HOST:PORT of an attested client port, or a file (-)',
    )
    .option('--nonce <hex>', 'nonce that the document must carry; for HOST:PORT a random one if absent', parseNonce)
    .option('--address <address>', 'address that the node must have')
    .addOption(expectOption())
    .addOption(rootOption())
    .addOption(trustDirOption())
    .addOption(charterOption())
    .addOption(jsonOption())
    .action((target, options) =>
      runAction(options, async (output) => (await import('../actions/attest.ts')).runVerify(target, options, output)),
    );
}

function explainCommand() {
  return createCommand('explain', 'Show every check of a document and what it says; exit code 0 when it can be read.', [
    'arca attest explain node.json',
    'arca attest explain document.bin --root root.pem --expect release.json',
    'curl -s "http://127.0.0.1:9000/attestation?nonce=$(openssl rand -hex 32)" | arca attest explain -',
  ])
    .argument('<file>', 'a document (bytes, hex, base64) or the JSON of a node; - is standard input')
    .option('--live', "judge it at this machine's time, as in a session, instead of at its own")
    .addOption(expectOption())
    .addOption(rootOption())
    .addOption(trustDirOption())
    .addOption(charterOption())
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/attest.ts')).runExplain(file, options, output)),
    );
}

function pcrsCommand() {
  return createCommand('pcrs', 'Show the measurements of a node, or of a document in a file.', [
    'arca attest pcrs',
    'arca attest pcrs node.json --json',
  ])
    .argument('[file]', 'a document or the JSON of a node; the own node if absent')
    .addOption(dirOption())
    .addOption(urlOption())
    .addOption(publicUrlOption())
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await import('../actions/attest.ts')).runPcrs(file, options, output)),
    );
}

const expectOption = () =>
  new Option('--expect <file>', 'measurements that are trusted: a release set, or the output of nitro-cli (JSON)');
const rootOption = () => new Option('--root <file>', "root to trust instead of AWS's, PEM or DER");
const charterOption = () => new Option('--charter <file>', 'charter that the node must have, CBOR or JSON');
/** Without a default, unlike elsewhere: what is trusted must be named. */
const trustDirOption = () =>
  new Option('--dir <folder>', 'state folder of a node of yours: its root, charter and releases are trusted');

function parseNonce(text: string): string {
  if (/^(?:[0-9a-fA-F]{2}){8,64}$/.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('give 8 to 64 bytes in hexadecimal digits, without 0x');
}
