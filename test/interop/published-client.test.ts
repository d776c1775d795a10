/**
 * The published 0.12.8 client (node-tkms, wasm) judges answers in our formats: it must accept what a correct node
 * signs and refuse every change. The signer here is the reference node.
 */
import t from 'tap';
import { parseAddress } from '../../wire/addresses.ts';
import { userDecryptResponseDigest } from '../../wire/eip712.ts';
import { FHE_TYPES, type FheTypeInfo, fheType } from '../../wire/fhe-types.ts';
import { encodeUserDecryptionPayload, type UserDecryptionPayload } from '../../wire/payloads.ts';
import { generateUserKeyPair } from '../../wire/signcryption.ts';
import { parseUserDecryption, type UserDecryption } from '../../wire/validate/decryption.ts';
import { verifyUserDecryption } from '../../wire/verify-response.ts';
import { present } from '../helpers/present.ts';
import { decodeWithPublishedClient, publishedPublicKey } from '../helpers/published-client.ts';
import { createReferenceNode } from '../helpers/reference-node.ts';
import { handleOf, userDecryptionRequest } from '../helpers/requests.ts';

const keys = generateUserKeyPair();
const node = createReferenceNode();
const TYPES = FHE_TYPES.filter((type) => type.abiEncodable);

function requestFor(types: readonly FheTypeInfo[], extraData = new Uint8Array(0)): UserDecryption {
  const typedCiphertexts = types.map((type, i) => ({
    ciphertext: Uint8Array.of(1),
    fheType: type.number,
    externalHandle: handleOf(i + 1, type.number),
  }));
  return parseUserDecryption(userDecryptionRequest({ typedCiphertexts, encKey: keys.encKey, extraData }));
}

/** The largest value of the type: every byte matters. */
function plaintextOf(type: FheTypeInfo): { bytes: Uint8Array; fheType: number } {
  const bytes = new Uint8Array(type.sizeBytes).fill(type.number === 0 ? 1 : 0xff);
  bytes[0] = 1;
  return { bytes, fheType: type.number };
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

function digestFor(request: UserDecryption, payload: UserDecryptionPayload): Uint8Array {
  return userDecryptResponseDigest({
    domain: request.domain,
    publicKey: request.encKey,
    ctHandles: request.items.map((item) => item.externalHandle),
    userDecryptedShare: encodeUserDecryptionPayload(payload),
    extraData: request.extraData,
  });
}

t.test('the published client derives the same public key from a user key of ours', async (t) => {
  t.same(Buffer.from(publishedPublicKey(keys)), Buffer.from(keys.encKey));
});

t.test('the published client decodes each type, alone and all in one request', async (t) => {
  for (const types of [...TYPES.map((type) => [type]), TYPES]) {
    const request = requestFor(types);
    const plaintexts = types.map(plaintextOf);
    const payload = node.userPayload(request, plaintexts);
    const { externalSignature } = node.answerUser(request, payload);
    const decoded = decodeWithPublishedClient(request, { payload, externalSignature }, keys, node.addressText);
    const wanted = plaintexts.map(({ bytes, fheType }) => ({ value: numberOf(bytes), fheType }));
    t.same(decoded, wanted, types.map((type) => type.name).join(', '));
  }
});

t.test('our own client agrees with the published one', async (t) => {
  const request = requestFor(TYPES);
  const plaintexts = TYPES.map(plaintextOf);
  const response = node.answerUser(request, node.userPayload(request, plaintexts));
  const opened = verifyUserDecryption(response, {
    domain: request.domain,
    handles: request.items.map((item) => item.externalHandle),
    extraData: request.extraData,
    signer: node.address,
    clientAddress: request.clientAddress,
    encKey: keys.encKey,
    seed: keys.seed,
  });
  t.same(
    opened.map(({ bytes, fheType }) => [numberOf(bytes), fheType]),
    plaintexts.map(({ bytes, fheType }) => [numberOf(bytes), fheType]),
  );
});

t.test('the published client refuses every change', async (t) => {
  const type = present(fheType(5));
  const request = requestFor([type]);
  const payload = node.userPayload(request, [plaintextOf(type)]);
  const { externalSignature } = node.answerUser(request, payload);
  const good = { payload, externalSignature };
  const accepts = (
    response: typeof good & { extraData?: string },
    asked: UserDecryption = request,
    signer = node.addressText,
  ): boolean => {
    try {
      return decodeWithPublishedClient(asked, response, keys, signer).length === 1;
    } catch {
      return false;
    }
  };
  const resigned = (changed: UserDecryptionPayload): typeof good => ({
    payload: changed,
    externalSignature: node.answerUser(request, changed).externalSignature,
  });
  t.ok(accepts(good), 'the answer itself is good');
  t.ok(accepts({ ...good, extraData: '00' }), 'v0 extra data beside a signature over none is good');

  const item = present(payload.signcryptedCiphertexts[0]);
  const flipped = Uint8Array.from(item.signcryptedCiphertext);
  flipped[flipped.length - 1] = (flipped[flipped.length - 1] ?? 0) ^ 1;
  const tampered = { ...payload, signcryptedCiphertexts: [{ ...item, signcryptedCiphertext: flipped }] };
  t.notOk(accepts({ ...good, payload: tampered }), 'payload changed');
  t.notOk(accepts(resigned(tampered)), 'ciphertext changed and signed again');

  const link = Uint8Array.from(payload.digest);
  link[0] = (link[0] ?? 0) ^ 1;
  t.notOk(accepts(resigned({ ...payload, digest: link })), 'another link, signed');
  const linkedElsewhere = node.signcrypt(plaintextOf(type), request, link);
  t.notOk(
    accepts(resigned({ ...payload, signcryptedCiphertexts: [{ ...item, signcryptedCiphertext: linkedElsewhere }] })),
    'plaintext bound to another link',
  );

  const v = externalSignature[64] ?? 0;
  for (const [why, wrong] of [
    ['v is 0 or 1', v - 27],
    ['the other v', 55 - v],
  ] as const) {
    const signature = Uint8Array.of(...externalSignature.subarray(0, 64), wrong);
    t.notOk(accepts({ ...good, externalSignature: signature }), why);
  }
  const otherHandle = { ...request, items: request.items.map((one) => ({ ...one, externalHandle: handleOf(77) })) };
  t.notOk(accepts(good, otherHandle), 'another handle asked for');
  const otherUser = { ...request, clientAddress: parseAddress('0x6370eF2f4Db3611D657b90667De398a2Cc2a370C') };
  t.notOk(accepts(good, otherUser), 'another user');
  t.notOk(accepts(good, request, '0x17853A630aAe15AED549B2B874de08B73C0F59c5'), 'another node');

  const withExtraData = { ...request, extraData: Uint8Array.of(0) };
  const signature = node.signDigest(digestFor(withExtraData, payload));
  t.notOk(accepts({ payload, externalSignature: signature, extraData: '00' }), 'signed extra data not empty');
});
