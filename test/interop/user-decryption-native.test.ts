/**
 * The published 0.12.8 client (node-tkms, wasm) opens what the native engine signcrypted: real ciphertexts of every
 * type and format, and nothing that was changed on the way.
 */
import { createHash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { NodeKey, userDecrypt } from '../../native/engine/index.ts';
import { UserDecryptionRequestSchema } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import { userDecryptionLink, userDecryptResponseDigest } from '../../wire/eip712.ts';
import { FHE_TYPES } from '../../wire/fhe-types.ts';
import { encodeUserDecryptionPayload, type UserDecryptionPayload, verificationKeyField } from '../../wire/payloads.ts';
import { generateUserKeyPair, unsigncrypt } from '../../wire/signcryption.ts';
import { parseUserDecryption, type UserDecryption } from '../../wire/validate/decryption.ts';
import { FORMATS, TYPE_BITS, testKeySet } from '../helpers/fhe-key-set.ts';
import { present } from '../helpers/present.ts';
import { decodeWithPublishedClient } from '../helpers/published-client.ts';

interface Cipher {
  readonly ciphertext: Uint8Array;
  readonly fheType: number;
  readonly ciphertextFormat: number;
}

const keys = generateUserKeyPair();
const nodeKey = NodeKey.generate();
const signer = formatAddress(nodeKey.address);
const { key, evaluation } = await testKeySet(t);
t.teardown(() => nodeKey.dispose());

function requestFor(ciphers: readonly Cipher[]): UserDecryption {
  const typedCiphertexts = ciphers.map((cipher, i) => ({ ...cipher, externalHandle: new Uint8Array(32).fill(i + 1) }));
  const message = create(UserDecryptionRequestSchema, {
    requestId: { requestId: '01'.repeat(32) },
    keyId: { requestId: '02'.repeat(32) },
    typedCiphertexts,
    encKey: keys.encKey,
    clientAddress: '0x17853A630aAe15AED549B2B874de08B73C0F59c5',
    domain: {
      name: 'Authorization token',
      version: '1',
      chainId: Uint8Array.of(0x1f, 0x46),
      verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
    },
  });
  return parseUserDecryption(message);
}

function linkOf({ domain, encKey, items, clientAddress }: UserDecryption): Uint8Array {
  const handles = items.map((item) => item.externalHandle);
  return userDecryptionLink({ domain, publicKey: encKey, handles, userAddress: clientAddress });
}

async function answer(request: UserDecryption): Promise<UserDecryptionPayload> {
  const link = linkOf(request);
  const { encKey, clientAddress, items } = request;
  const sealed = await userDecrypt(key, nodeKey, items, { encKey, clientAddress, link });
  const signcryptedCiphertexts = items.map(({ fheType, externalHandle }, i) => ({
    fheType,
    signcryptedCiphertext: present(sealed[i]),
    externalHandle,
    packingFactor: 1,
  }));
  const verificationKey = verificationKeyField(nodeKey.publicKey);
  return { verificationKey, digest: link, signcryptedCiphertexts, partyId: 1, degree: 0 };
}

function decode(request: UserDecryption, payload: UserDecryptionPayload): bigint[] {
  const digest = userDecryptResponseDigest({
    domain: request.domain,
    publicKey: request.encKey,
    ctHandles: request.items.map((item) => item.externalHandle),
    userDecryptedShare: encodeUserDecryptionPayload(payload),
    extraData: request.extraData,
  });
  const response = { payload, externalSignature: nodeKey.signDigest(digest) };
  return decodeWithPublishedClient(request, response, keys, signer).map(({ value }) => value);
}

async function euint64(value: bigint): Promise<Cipher> {
  return { ciphertext: await evaluation.encrypt(value, 5, 2), fheType: 5, ciphertextFormat: 2 };
}

for (const [format, name] of FORMATS.entries()) {
  t.test(`the published client opens every type out of ${name}`, async (t) => {
    for (const { number: fheType, name, abiEncodable } of FHE_TYPES) {
      if (!abiEncodable) continue;
      const largest = (1n << BigInt(present(TYPE_BITS[fheType]))) - 1n;
      const value = fheType === 0 ? 1n : largest - 5n;
      const request = requestFor([
        { ciphertext: await evaluation.encrypt(value, fheType, format), fheType, ciphertextFormat: format },
      ]);
      t.strictSame(decode(request, await answer(request)), [value], name);
    }
  });
}

t.test('several ciphertexts come back in the order of the request', async (t) => {
  const request = requestFor([await euint64(7n), await euint64(0n), await euint64(0xffff_ffff_ffff_ffffn)]);
  t.strictSame(decode(request, await answer(request)), [7n, 0n, 0xffff_ffff_ffff_ffffn]);
});

t.test(
  'the published client refuses a signcrypted value for another user, link or handle, or a changed one',
  async (t) => {
    const request = requestFor([await euint64(42n)]);
    const other = { ...request, clientAddress: new Uint8Array(20).fill(9) };
    const good = await answer(request);
    const sealed = present(good.signcryptedCiphertexts[0]);
    const withSealed = (bytes: Uint8Array): UserDecryptionPayload => ({
      ...good,
      signcryptedCiphertexts: [{ ...sealed, signcryptedCiphertext: bytes }],
    });
    t.strictSame(decode(request, good), [42n], 'as it came');
    const otherUser = present((await answer(other)).signcryptedCiphertexts[0]).signcryptedCiphertext;
    t.throws(() => decode(request, withSealed(otherUser)), 'sealed for another user');
    t.throws(() => decode(request, { ...good, digest: linkOf(other) }), 'another link');
    for (const at of [0, 12, 20, 788, 796, sealed.signcryptedCiphertext.length - 1]) {
      const changed = Buffer.from(sealed.signcryptedCiphertext);
      changed[at] = present(changed[at]) ^ 1;
      t.throws(() => decode(request, withSealed(changed)), `changed at ${at}`);
    }
  },
);

t.test('each answer is encrypted afresh, signed the same, and has the published layout', async (t) => {
  const request = requestFor([await euint64(1n)]);
  const bytes = async () => present((await answer(request)).signcryptedCiphertexts[0]).signcryptedCiphertext;
  const [one, two] = [await bytes(), await bytes()];
  const sizes = { nonce: 12, count: 8, kem: 768, message: 8 + 8 + 4 + 8 + 32, signature: 64, signer: 32, tag: 16 };
  const length = Object.values(sizes).reduce((sum, size) => sum + size, 0) + 8;
  t.equal(one.length, length);
  t.notSame(one.subarray(0, 12), two.subarray(0, 12), 'nonces differ');
  t.notSame(one.subarray(20, 788), two.subarray(20, 788), 'encapsulations differ');
  const digest = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
  t.not(digest(one.subarray(796)), digest(two.subarray(796)), 'ciphertexts differ');
  const binding = { encKey: keys.encKey, clientAddress: request.clientAddress, link: linkOf(request) };
  for (const sealed of [one, two]) {
    const opened = unsigncrypt(sealed, keys.seed, { ...binding, verificationKey: nodeKey.publicKey });
    t.equal(Buffer.from(opened.bytes).readBigUInt64LE(), 1n, 'our own client opens it');
  }
});
