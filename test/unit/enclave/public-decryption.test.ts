/** Public decryption through the link, with the real native library: what is answered, signed and refused. */

import { createHash } from 'node:crypto';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { recoverTypedDataAddress } from 'viem';
import { toHex } from '../../../common/bytes.ts';
import { verifySignature } from '../../../native/engine/public.ts';
import {
  CiphertextFormat,
  type PublicDecryptionResponse,
  PublicDecryptionResponseSchema,
  PublicDecryptionRequestSchema as RequestSchema,
  SigningSchemeType,
} from '../../../proto/gen/kms_pb.js';
import { formatAddress } from '../../../wire/addresses.ts';
import { FHE_TYPES } from '../../../wire/fhe-types.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { encodePublicDecryptionPayload, parseVerificationKeyField } from '../../../wire/payloads.ts';
import { signedPreimage } from '../../../wire/signed-payloads.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { D0, type Fields, handleOf, idOf, publicDecryptionRequest } from '../../helpers/requests.ts';
import { describe, makeKey, testEngine } from '../../helpers/test-engine.ts';

const { link: openLink } = await testEngine(t);
const link = await openLink();
const info = await describe(link);
const { evaluation } = await makeKey(t, link);
const ciphertext = await evaluation.encrypt(42n, 5, CiphertextFormat.BigCompressed);

const DOMAIN = {
  name: 'Authorization token',
  version: '1',
  chainId: 8006,
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
} as const;
const TYPES = {
  PublicDecryptVerification: [
    { name: 'ctHandles', type: 'bytes32[]' },
    { name: 'decryptedResult', type: 'bytes' },
    { name: 'extraData', type: 'bytes' },
  ],
} as const;

async function decrypt(
  overrides: Fields<typeof RequestSchema>,
  over: EngineTestLink = link,
): Promise<PublicDecryptionResponse> {
  const body = toBinary(RequestSchema, publicDecryptionRequest(overrides));
  return fromBinary(PublicDecryptionResponseSchema, await over.call(ENGINE_METHOD.publicDecrypt, body));
}

const one = (fheType: number, bytes = ciphertext, ciphertextFormat = CiphertextFormat.BigCompressed) => ({
  ciphertext: bytes,
  fheType,
  ciphertextFormat,
  externalHandle: handleOf(42, fheType),
});

t.test('every type in every format comes back, and viem recovers the node from the signature', async (t) => {
  for (const { number, name, bits } of FHE_TYPES.filter((type) => type.abiEncodable)) {
    const value = number === 0 ? 1n : (1n << BigInt(bits)) - 2n;
    for (const format of [0, 1, 2, 3] as const) {
      const bytes = await evaluation.encrypt(value, number, format);
      const response = await decrypt({ ciphertexts: [one(number, bytes, format)] });
      const [plaintext] = response.payload?.plaintexts ?? [];
      t.equal(BigInt(`0x${toHex(Uint8Array.from(plaintext?.bytes ?? []).reverse())}`), value, `${name} ${format}`);
      t.equal(plaintext?.bytes.byteLength, Math.ceil(bits / 8), `${name} ${format}: width`);
      t.equal(plaintext?.fheType, number, `${name} ${format}: type`);
      const signer = await recoverTypedDataAddress({
        domain: DOMAIN,
        types: TYPES,
        primaryType: 'PublicDecryptVerification',
        message: {
          ctHandles: [`0x${toHex(handleOf(42, number))}`],
          decryptedResult: `0x${value.toString(16).padStart(64, '0')}`,
          extraData: '0x',
        },
        signature: `0x${toHex(response.externalSignature)}`,
      });
      t.equal(signer, formatAddress(info.address), `${name} ${format}: signer`);
    }
  }
});

t.test('results stand in the order of the request and carry its id and key', async (t) => {
  const values = [7n, 70_000n, 1n];
  const types = [2, 4, 0];
  const ciphertexts = await Promise.all(
    values.map(async (value, i) => one(types[i] ?? 0, await evaluation.encrypt(value, types[i] ?? 0, 2))),
  );
  const { payload } = await decrypt({ requestId: { requestId: idOf(77) }, ciphertexts });
  t.same(
    payload?.plaintexts.map(({ fheType }) => fheType),
    types,
  );
  t.same(
    payload?.plaintexts.map(({ bytes }) => bytes[0]),
    [7, 70_000 & 255, 1],
  );
  t.equal(payload?.requestId?.requestId, idOf(77));
  t.same(parseVerificationKeyField(payload?.verificationKey ?? new Uint8Array()), info.verificationKey);
});

t.test('the internal signature is over the tagged payload, the others follow in the order asked for', async (t) => {
  const { MLDSA44, ECDSA256K1, ED25519 } = SigningSchemeType;
  const response = await decrypt({
    ciphertexts: [one(5)],
    signingSchemes: [MLDSA44, ECDSA256K1, MLDSA44, ED25519],
  });
  const { payload } = response;
  const encoded = encodePublicDecryptionPayload({
    verificationKey: payload?.verificationKey ?? new Uint8Array(),
    plaintexts: payload?.plaintexts ?? [],
    requestId: parseRequestId(payload?.requestId?.requestId ?? ''),
  });
  const preimage = signedPreimage('PUBL_DEC', encoded);
  const digest = createHash('sha256').update(preimage).digest();
  t.ok(verifySignature(info.verificationKey, digest, response.signature));
  t.same(
    response.signatures.map(({ scheme, signature }) => [scheme, signature.byteLength]),
    [
      [MLDSA44, 2420],
      [ECDSA256K1, 65],
      [ED25519, 64],
    ],
  );
  t.same(response.signatures[1]?.signature, response.externalSignature);
});

t.test('extra data is signed and answered verbatim', async (t) => {
  for (const extraData of [Uint8Array.of(0), new Uint8Array(300).fill(9)]) {
    const response = await decrypt({ ciphertexts: [one(5)], extraData });
    t.same(response.extraData, extraData);
    const signer = await recoverTypedDataAddress({
      domain: DOMAIN,
      types: TYPES,
      primaryType: 'PublicDecryptVerification',
      message: {
        ctHandles: [`0x${toHex(handleOf(42, 5))}`],
        decryptedResult: `0x${(42).toString(16).padStart(64, '0')}`,
        extraData: `0x${toHex(extraData)}`,
      },
      signature: `0x${toHex(response.externalSignature)}`,
    });
    t.equal(signer, formatAddress(info.address));
  }
});

t.test('the switch for 0.12 clients signs nothing in place of a single zero byte', async (t) => {
  const { link: open } = await testEngine(t, { treatV0ExtraDataAsEmpty: true });
  const over = await open();
  const { evaluation: keys } = await makeKey(t, over);
  const ciphertexts = [one(5, await keys.encrypt(1n, 5, 2))];
  const [zero, empty, other] = await Promise.all(
    [Uint8Array.of(0), new Uint8Array(), Uint8Array.of(0, 0)].map((extraData) =>
      decrypt({ ciphertexts, extraData }, over),
    ),
  );
  t.same(zero?.extraData, new Uint8Array());
  t.same(zero?.externalSignature, empty?.externalSignature);
  t.same(other?.extraData, Uint8Array.of(0, 0));
});

t.test('what cannot be signed fails as a task before anything is opened', async (t) => {
  for (const fheType of [1, 9, 10, 11, 99, -1]) {
    await t.rejects(decrypt({ ciphertexts: [one(5), one(fheType)] }), { code: 'TASK_FAILED' }, `type ${fheType}`);
  }
  const long = { ...one(5), externalHandle: new Uint8Array(33) };
  await t.rejects(decrypt({ ciphertexts: [long] }), { code: 'TASK_FAILED' }, 'a handle of 33 bytes');
  const short = { ...one(5), externalHandle: Uint8Array.of(7) };
  t.equal((await decrypt({ ciphertexts: [short] })).externalSignature.byteLength, 65, 'a handle of 1 byte');
});

t.test('bad ciphertexts are refused and the engine goes on', async (t) => {
  const bad = [
    ['empty', one(5, new Uint8Array())],
    ['cut', one(5, ciphertext.subarray(0, -1))],
    ['extended', one(5, Uint8Array.from([...ciphertext, 0]))],
    ['of another type', one(4)],
    ['of another format', one(5, ciphertext, CiphertextFormat.SmallExpanded)],
  ] as const;
  for (const [why, item] of bad) {
    await t.rejects(decrypt({ ciphertexts: [item] }), { code: 'CIPHERTEXT_INVALID' }, why);
  }
  t.equal((await decrypt({ ciphertexts: [one(5)] })).payload?.plaintexts[0]?.bytes[0], 42);
});

t.test('bad requests name the field, unknown keys are not found', async (t) => {
  const bad = [
    ['no request id', { requestId: { requestId: '' } }],
    ['zero id', { requestId: { requestId: idOf(0) } }],
    ['no ciphertexts', { ciphertexts: [] }],
    ['no contract in the domain', { domain: { ...D0, verifyingContract: '' } }],
    ['an unknown scheme', { signingSchemes: [9 as SigningSchemeType] }],
    ['a bad epoch', { epochId: { requestId: 'xyz' } }],
  ] satisfies [string, Fields<typeof RequestSchema>][];
  for (const [why, overrides] of bad) {
    await t.rejects(decrypt({ ciphertexts: [one(5)], ...overrides }), { code: 'REQUEST_INVALID' }, why);
  }
  await t.rejects(decrypt({ ciphertexts: [one(5)], keyId: { requestId: idOf(5) } }), { code: 'NOT_FOUND' }, 'key');
  await t.rejects(decrypt({ ciphertexts: [one(5)], epochId: { requestId: idOf(5) } }), { code: 'NOT_FOUND' }, 'epoch');
  await t.rejects(link.call(ENGINE_METHOD.publicDecrypt, Uint8Array.of(255, 255, 255)), { code: 'REQUEST_INVALID' });
});

t.test('the same request twice at once is answered twice, with the same signatures', async (t) => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => decrypt({ ciphertexts: [one(5)] })));
  for (const answer of answers) t.same(answer, answers[0], 'equal to the first');
});

t.test('evidence travels with the call and is judged by the policy', async (t) => {
  const seen: Uint8Array[] = [];
  const policy = {
    name: 'test',
    authorize: (_operation: string, _request: Uint8Array, evidence: Uint8Array) => {
      seen.push(Uint8Array.from(evidence));
    },
  };
  const { link: open } = await testEngine(t, { policy });
  const over = await open();
  const { evaluation: keys } = await makeKey(t, over);
  const request = publicDecryptionRequest({ ciphertexts: [one(5, await keys.encrypt(1n, 5, 2))] });
  await over.call(ENGINE_METHOD.publicDecrypt, toBinary(RequestSchema, request), { evidence: Uint8Array.of(1, 2) });
  t.same(seen.at(-1), Uint8Array.of(1, 2));
  t.equal((await describe(over)).authorizationPolicy, 'test');
});
