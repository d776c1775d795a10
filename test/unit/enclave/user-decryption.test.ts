/** User decryption through the link: what only the asking user can open, and what is refused. */
import { createHash } from 'node:crypto';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { verifySignature } from '../../../native/engine/public.ts';
import {
  CiphertextFormat,
  UserDecryptionRequestSchema as RequestSchema,
  SigningSchemeType,
  type UserDecryptionResponse,
  UserDecryptionResponseSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { encodeUserDecryptionPayload } from '../../../wire/payloads.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import { signedPreimage } from '../../../wire/signed-payloads.ts';
import { parseUserDecryption } from '../../../wire/validate/decryption.ts';
import { verifyUserDecryption } from '../../../wire/verify-response.ts';
import { D0, type Fields, handleOf, idOf, userDecryptionRequest } from '../../helpers/requests.ts';
import { describe, makeKey, testEngine } from '../../helpers/test-engine.ts';

const { link: openLink } = await testEngine(t);
const link = await openLink();
const info = await describe(link);
const { evaluation } = await makeKey(t, link);
const keys = generateUserKeyPair();
const ciphertext = await evaluation.encrypt(42n, 5, CiphertextFormat.BigCompressed);

const one = (fheType: number, bytes = ciphertext, ciphertextFormat = CiphertextFormat.BigCompressed) => ({
  ciphertext: bytes,
  fheType,
  ciphertextFormat,
  externalHandle: handleOf(42, fheType),
});

async function decrypt(overrides: Fields<typeof RequestSchema>): Promise<UserDecryptionResponse> {
  const request = userDecryptionRequest({ encKey: keys.encKey, typedCiphertexts: [one(5)], ...overrides });
  const body = toBinary(RequestSchema, request);
  return fromBinary(UserDecryptionResponseSchema, await link.call(ENGINE_METHOD.userDecrypt, body));
}

function open(response: UserDecryptionResponse, overrides: Fields<typeof RequestSchema>) {
  const request = parseUserDecryption(
    userDecryptionRequest({ encKey: keys.encKey, typedCiphertexts: [one(5)], ...overrides }),
  );
  return verifyUserDecryption(response, {
    domain: request.domain,
    handles: request.items.map(({ externalHandle }) => externalHandle),
    extraData: request.extraData,
    signer: info.address,
    clientAddress: request.clientAddress,
    encKey: keys.encKey,
    seed: keys.seed,
  });
}

t.test('the user opens what was asked for, in the order of the request', async (t) => {
  const values = [
    [2, 7n],
    [0, 1n],
    [8, (1n << 255n) + 3n],
    [1, 9n],
  ] as const;
  const typedCiphertexts = await Promise.all(
    values.map(async ([type, value]) => one(type, await evaluation.encrypt(value, type, 2))),
  );
  const response = await decrypt({ typedCiphertexts });
  const opened = open(response, { typedCiphertexts });
  t.same(
    opened.map(({ bytes, fheType }) => [fheType, BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)]),
    values.map(([type, value]) => [type, value]),
  );
  const { payload } = response;
  t.same([payload?.partyId, payload?.degree], [1, 0], 'a centralized node');
  t.same(
    payload?.signcryptedCiphertexts.map(({ packingFactor }) => packingFactor),
    [1, 1, 1, 1],
  );
  t.same(
    payload?.signcryptedCiphertexts.map(({ externalHandle }) => externalHandle),
    typedCiphertexts.map(({ externalHandle }) => externalHandle),
  );
});

t.test('internal and further signatures are over the tagged payload', async (t) => {
  const { ED25519, ECDSA256K1, MLDSA87 } = SigningSchemeType;
  const response = await decrypt({ signingSchemes: [ED25519, MLDSA87, ECDSA256K1] });
  const { payload } = response;
  if (!payload) throw new Error('no payload');
  const preimage = signedPreimage('USER_DEC', encodeUserDecryptionPayload(payload));
  t.ok(verifySignature(info.verificationKey, createHash('sha256').update(preimage).digest(), response.signature));
  t.same(
    response.signatures.map(({ scheme, signature }) => [scheme, signature.byteLength]),
    [
      [ED25519, 64],
      [MLDSA87, 4627],
      [ECDSA256K1, 65],
    ],
  );
});

t.test('extra data is signed and answered verbatim', async (t) => {
  const extraData = Uint8Array.of(0);
  const response = await decrypt({ extraData });
  t.same(response.extraData, extraData);
  t.equal(open(response, { extraData })[0]?.bytes[0], 42);
  t.throws(() => open(response, {}), 'other extra data is refused');
});

t.test('each answer is encrypted afresh', async (t) => {
  const [a, b] = await Promise.all([decrypt({}), decrypt({})]);
  t.notSame(
    a?.payload?.signcryptedCiphertexts[0]?.signcryptedCiphertext,
    b?.payload?.signcryptedCiphertexts[0]?.signcryptedCiphertext,
  );
});

t.test('requests that the published service would take, but that are not exact, are refused', async (t) => {
  const extended = Uint8Array.from([...keys.encKey, 0]);
  const unreduced = Uint8Array.from(keys.encKey);
  unreduced.fill(0xff, 69, 72);
  const kem1024 = Uint8Array.from(keys.encKey);
  kem1024[57] = 1;
  const bad = [
    ['enc_key of 870 bytes', { encKey: extended }],
    ['enc_key of 868 bytes', { encKey: keys.encKey.subarray(0, -1) }],
    ['enc_key not reduced', { encKey: unreduced }],
    ['enc_key of ML-KEM-1024', { encKey: kem1024 }],
    ['client address without checksum', { clientAddress: '0x17853a630aae15aed549b2b874de08b73c0f59c5' }],
    ['client address of the contract', { clientAddress: String(D0.verifyingContract) }],
    ['a handle of 33 bytes', { typedCiphertexts: [{ ...one(5), externalHandle: new Uint8Array(33) }] }],
    ['no ciphertexts', { typedCiphertexts: [] }],
  ] satisfies [string, Fields<typeof RequestSchema>][];
  for (const [why, overrides] of bad) await t.rejects(decrypt(overrides), { code: 'REQUEST_INVALID' }, why);
  await t.rejects(decrypt({ keyId: { requestId: idOf(5) } }), { code: 'NOT_FOUND' }, 'unknown key');
});

t.test('bad ciphertexts are refused and the engine goes on', async (t) => {
  const bad = [
    ['cut', one(5, ciphertext.subarray(0, -1))],
    ['extended', one(5, Uint8Array.from([...ciphertext, 0]))],
    ['of another type', one(4)],
  ] as const;
  for (const [why, item] of bad) {
    await t.rejects(decrypt({ typedCiphertexts: [item] }), { code: 'CIPHERTEXT_INVALID' }, why);
  }
  await t.rejects(decrypt({ typedCiphertexts: [one(99)] }), 'an unknown type');
  t.equal(open(await decrypt({}), {})[0]?.bytes[0], 42);
});
