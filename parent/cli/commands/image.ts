/** `arca image`: enclave images as files: how one is built, what is in them, what they measure, who signed them, in what two differ. */
import type { Command } from '@commander-js/extra-typings';
import { createCommand, jsonOption, runAction } from '../framework/command.ts';
import { usageFailure } from '../framework/failure.ts';
import { forceOption, outOption } from '../governance/options.ts';

const actions = () => import('../actions/image.ts');
const buildActions = () => import('../actions/image-build.ts');
const bootActions = () => import('../actions/image-boot.ts');

/** Returns the `image` command with its subcommands. */
export function imageCommand(): Command {
  const command = createCommand('image', 'Enclave images: build, read, measure, sign, verify, compare, boot.', []);
  for (const sub of [
    buildCommand(),
    inspectCommand(),
    measureCommand(),
    signCommand(),
    verifyCommand(),
    diffCommand(),
    bootCommand(),
  ]) {
    command.addCommand(sub);
  }
  return command;
}

function buildCommand() {
  return createCommand('build', "Build the engine's image from this checkout: the same bytes as everybody's.", [
    'arca image build --out build/image',
    'arca image build --out build/image --json',
    'arca image build --out /tmp/test-image --test-image   # believes a developer root: for tests alone',
  ])
    .requiredOption('--out <folder>', 'folder for engine.eif, pcr.json, sbom.json and manifest.json')
    .option('--test-image', 'with the main module that believes a developer root; peers of a network refuse it')
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((options) => runAction(options, async (output) => (await buildActions()).runBuild(options, output)));
}

function inspectCommand() {
  return createCommand('inspect', 'Show the sections of an image and the files of its RAM disks.', [
    'arca image inspect engine.eif',
    'arca image inspect engine.eif --json',
  ])
    .argument('<file>', 'enclave image, whoever made it')
    .addOption(jsonOption())
    .action((file, options) => runAction(options, async (output) => (await actions()).runInspect(file, output)));
}

function measureCommand() {
  return createCommand('measure', 'Print the registers that an enclave of an image will have.', [
    'arca image measure engine.eif',
    'arca image measure engine.eif --certificate signer.pem   # PCR8 of an image that is yet to be signed',
    'arca image measure engine.eif --json > pcr.json          # as arca release create takes it',
  ])
    .argument('<file>', 'enclave image')
    .option('--certificate <file>', 'certificate in PEM that the image will be signed with')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await actions()).runMeasure(file, options, output)),
    );
}

function signCommand() {
  return createCommand('sign', 'Write an image anew with a signature, in place of the one it had.', [
    'arca image sign engine.eif --key signer-key.pem --certificate signer.pem --out signed.eif',
    "arca image sign engine.eif --certificate signer.pem --out signed.eif --sign-with 'aws kms sign --key-id alias/images --message-type DIGEST --signing-algorithm ECDSA_SHA_384 --message fileb:///dev/stdin --query Signature --output text | base64 -d'",
    "arca image sign engine.eif --certificate signer.pem --out signed.eif --sign-with 'pkcs11-tool --sign --mechanism ECDSA --id 01 --input-file /dev/stdin --output-file /dev/stdout'",
  ])
    .argument('<file>', 'enclave image')
    .option('--key <file>', 'private key in PEM, on P-256, P-384 or P-521')
    .option('--sign-with <command>', 'shell command that gets the digest and gives the signature, r and s or DER')
    .requiredOption('--certificate <file>', 'its certificate in PEM')
    .addOption(outOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .action((file, options) => runAction(options, async (output) => (await actions()).runSign(file, options, output)));
}

function verifyCommand() {
  return createCommand('verify', 'Check the signature of an image, and its registers; exit code 0 only if all holds.', [
    'arca image verify signed.eif',
    'arca image verify signed.eif --pcrs pcr.json   # these registers and no others',
  ])
    .argument('<file>', 'signed enclave image')
    .option('--pcrs <file>', 'registers that it has to have: JSON with PCR0, PCR1, PCR2, PCR8')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await actions()).runVerify(file, options, output)),
    );
}

function diffCommand() {
  return createCommand(
    'diff',
    'Name each file in which two images differ; exit code 0 only if they measure the same.',
    ['arca image diff engine-1.eif engine-2.eif'],
  )
    .argument('<first>', 'enclave image')
    .argument('<second>', 'another one')
    .addOption(jsonOption())
    .action((first, second, options) =>
      runAction(options, async (output) => (await actions()).runDiff(first, second, output)),
    );
}

function bootCommand() {
  return createCommand(
    'boot',
    'Boot an image under QEMU and show what it says, until it ends; exit code 0 if it ended well.',
    [
      'arca image boot build/image/engine.eif   # without a document it waits for its parent, and says so',
      'scripts/qemu-setup                       # before, once a machine',
    ],
  )
    .argument('<file>', 'enclave image')
    .option('--memory-mb <number>', 'memory of the enclave', countUpTo(1_048_576), 1024)
    .option('--cpus <number>', 'processors of the enclave', countUpTo(64), 2)
    .option('--document <file>', 'boot document that it is given')
    .addOption(jsonOption())
    .action((file, options) =>
      runAction(options, async (output) => (await bootActions()).runBoot(file, options, output)),
    );
}

const countUpTo =
  (most: number) =>
  (text: string): number => {
    const count = /^[1-9]\d{0,6}$/.test(text) ? Number(text) : 0;
    if (count >= 1 && count <= most) return count;
    throw usageFailure(`'${text}' is no such number`, `give a whole number of 1 to ${most}`);
  };
