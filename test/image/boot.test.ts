/**
 * The production image under QEMU: it boots as it was measured, and refuses by name whatever a lying parent hands over. What
 * nobody signed it never believes: QEMU's security module gives documents without a signature.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import t, { type Test } from 'tap';
import { AWS_NITRO_ROOT } from '../../attestation/document/index.ts';
import { encodeCharter, makeCharter, rawPublicKey } from '../../attestation/governance/index.ts';
import { concatBytes } from '../../common/bytes.ts';
import { type BootDocument, encodeBootDocument } from '../../common/enclave-boot.ts';
import { bootToEnd } from '../helpers/boot-image.ts';
import { buildTestImage } from '../helpers/enclave-image.ts';

t.setTimeout(3_000_000);

const { image } = await buildTestImage('production');
const governance = { keys: [rawPublicKey(generateKeyPairSync('ed25519').publicKey)], threshold: 1 };
const anchor = createHash('sha256').update(AWS_NITRO_ROOT.certificate).digest();
const charter = encodeCharter(makeCharter({ network: 'test', party: 1, governance, anchor }));
const node = `
[aws]
region = "eu-central-1"
role_arn = "arn:aws:iam::123456789012:role/arca-engine"
instance_role = true

[public_vault.storage.s3]
bucket = "public"
prefix = "PUB"

[private_vault.storage.s3]
bucket = "private"
prefix = "PRIV"

[private_vault.keychain.aws_kms]
`;
const DOCUMENT: BootDocument = { node, charter };

/** Boots with an answer of the parent; the reason for which the enclave ended. */
async function reasonOf(t: Test, answer: Uint8Array): Promise<unknown> {
  const { reason, status } = await bootToEnd(t, { image, answer });
  t.not(status, 0);
  return reason;
}

const length = (size: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, size);
  return bytes;
};
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

t.test('a parent that sends too much, or no document, is named', async (t) => {
  t.match(await reasonOf(t, length(1024 * 1024 + 1)), /1048577 bytes; needs at most 1048576/);
  t.match(await reasonOf(t, concatBytes(length(8), text('no json!'))), /boot document: it is not JSON/);
});

t.test('a key that is not the parent’s to choose is named', async (t) => {
  const forbidden = encodeBootDocument({ ...DOCUMENT, node: `developer_mode = true\n${node}` });
  t.match(await reasonOf(t, forbidden), /developer_mode/);
});

t.test('the production image takes no developer root', async (t) => {
  const developer = { root: text('a root of somebody'), authorities: '' };
  t.match(
    await reasonOf(t, encodeBootDocument({ ...DOCUMENT, developer })),
    /developer: the root of this image is a constant/,
  );
});

t.test('a document of a security module that signs nothing ends the production image', async (t) => {
  t.match(await reasonOf(t, encodeBootDocument(DOCUMENT)), /ATTESTATION/);
});

t.test('last words say how much memory an enclave has, and how much it needs', async (t) => {
  const answer = encodeBootDocument(DOCUMENT);
  const { memoryMb, neededMb } = await bootToEnd(t, { image, memoryMb: 448, answer });
  t.ok(Number(memoryMb) < 448 && Number(neededMb) > 448, `it has ${memoryMb} MB, and needs ${neededMb} MB`);
});
