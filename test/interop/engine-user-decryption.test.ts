/**
 * node-tkms 0.12.8 accepts what the engine answers, for every type in every format, and refuses it once tampered with.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import {
  UserDecryptionRequestSchema,
  type UserDecryptionResponse,
  UserDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import { CIPHERTEXT_FORMATS, FHE_TYPES, type FheTypeInfo } from '../../wire/fhe-types.ts';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { generateUserKeyPair } from '../../wire/signcryption.ts';
import { parseUserDecryption, type UserDecryption } from '../../wire/validate/decryption.ts';
import { decodeWithPublishedClient } from '../helpers/published-client.ts';
import { handleOf, userDecryptionRequest } from '../helpers/requests.ts';
import { describe, makeKey, testEngine } from '../helpers/test-engine.ts';

const { link: openLink } = await testEngine(t);
const link = await openLink();
const signer = formatAddress((await describe(link)).address);
const { evaluation } = await makeKey(t, link);
const keys = generateUserKeyPair();
const TYPES = FHE_TYPES.filter((type) => type.abiEncodable);

async function ask(
  types: readonly FheTypeInfo[],
  format: 0 | 1 | 2 | 3,
): Promise<{ request: UserDecryption; response: UserDecryptionResponse }> {
  const typedCiphertexts = await Promise.all(
    types.map(async (type, i) => ({
      ciphertext: await evaluation.encrypt(plaintextOf(type), type.number, format),
      fheType: type.number,
      ciphertextFormat: format,
      externalHandle: handleOf(i + 1, type.number),
    })),
  );
  const message = userDecryptionRequest({ typedCiphertexts, encKey: keys.encKey });
  const body = toBinary(UserDecryptionRequestSchema, message);
  const response = fromBinary(UserDecryptionResponseSchema, await link.call(ENGINE_METHOD.userDecrypt, body));
  return { request: parseUserDecryption(message), response };
}

/** Every byte differs from its neighbours'. */
function plaintextOf({ number, bits }: FheTypeInfo): bigint {
  if (number === 0) return 1n;
  const digits = Array.from({ length: bits / 8 }, (_, i) => ((37 * i + 201) & 255).toString(16).padStart(2, '0'));
  return BigInt(`0x${digits.join('')}`);
}

function decode({ request, response }: Awaited<ReturnType<typeof ask>>, as = signer) {
  const { payload, externalSignature } = response;
  if (!payload) throw new Error('no payload');
  return decodeWithPublishedClient(request, { payload, externalSignature }, keys, as);
}

t.test('the published client opens each type in each format', async (t) => {
  for (const format of [0, 1, 2, 3] as const) {
    for (const type of TYPES) {
      const decoded = decode(await ask([type], format));
      const wanted = [{ value: plaintextOf(type), fheType: type.number }];
      t.same(decoded, wanted, `${type.name} as ${CIPHERTEXT_FORMATS[format]}`);
    }
  }
});

t.test('the published client opens all types of one request', async (t) => {
  const decoded = decode(await ask(TYPES, 2));
  t.same(
    decoded,
    TYPES.map((type) => ({ value: plaintextOf(type), fheType: type.number })),
  );
});

t.test('the published client refuses answers that were tampered with', async (t) => {
  const { request, response } = await ask(TYPES.slice(0, 2), 2);
  const { payload } = response;
  if (!payload) throw new Error('no payload');
  t.doesNotThrow(() => decode({ request, response }), 'the answer itself is good');

  const signature = Uint8Array.from(response.externalSignature);
  signature[40] = (signature[40] ?? 0) ^ 1;
  t.throws(() => decode({ request, response: { ...response, externalSignature: signature } }), 'signature');
  const swapped = { ...payload, signcryptedCiphertexts: [...payload.signcryptedCiphertexts].reverse() };
  t.throws(() => decode({ request, response: { ...response, payload: swapped } }), 'order of the plaintexts');
  const digest = Uint8Array.from(payload.digest).reverse();
  t.throws(() => decode({ request, response: { ...response, payload: { ...payload, digest } } }), 'link');
  t.throws(() => decode({ request, response }, '0x17853A630aAe15AED549B2B874de08B73C0F59c5'), 'another node');
  const [first, second] = request.items;
  if (!first || !second) throw new Error('no items');
  const otherHandles = { ...request, items: [first, { ...second, externalHandle: handleOf(99) }] };
  t.throws(() => decode({ request: otherHandles, response }), 'another handle');
});
