/** The digest that engines announce changes with everything that decides what is revealed, and to whom. */
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import {
  namePublicRequest as namePublic,
  nameUserRequest as nameUser,
} from '../../../enclave/threshold/request-name.ts';
import { blake3 } from '../../../native/engine/index.ts';
import { PublicDecryptionRequestSchema } from '../../../proto/gen/kms_pb.js';
import { parseRequestId } from '../../../wire/ids.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../../wire/validate/decryption.ts';
import { D0, userDecryptionRequest } from '../../helpers/requests.ts';

const typedCiphertexts = [1, 2].map((i) => ({
  ciphertext: new Uint8Array(100).fill(i),
  fheType: 5,
  ciphertextFormat: 2,
  externalHandle: new Uint8Array(32).fill(i),
}));
const publicRequest = parsePublicDecryption(
  create(PublicDecryptionRequestSchema, {
    requestId: { requestId: '01'.repeat(32) },
    keyId: { requestId: '02'.repeat(32) },
    ciphertexts: typedCiphertexts,
    domain: D0,
  }),
);
const namePublicRequest = (request: typeof publicRequest) => namePublic(request, blake3);
const nameUserRequest = (request: typeof userRequest) => nameUser(request, blake3);
const { encKey } = generateUserKeyPair();
const userRequest = parseUserDecryption(userDecryptionRequest({ typedCiphertexts, encKey }));
const otherId = parseRequestId('09'.repeat(32));

t.test('every field that counts changes the digest, and each differently', async (t) => {
  const [first, second] = publicRequest.items;
  if (!first || !second) throw new Error('no items');
  const changes = [
    {},
    { requestId: otherId },
    { contextId: otherId },
    { epochId: otherId },
    { keyId: otherId },
    { items: [second, first] },
    { items: [first] },
    { items: [{ ...first, ciphertext: first.ciphertext.with(99, 7) }, second] },
    { items: [{ ...first, fheType: 4 }, second] },
    { items: [{ ...first, format: 3 }, second] },
    { items: [{ ...first, externalHandle: first.externalHandle.subarray(1) }, second] },
    { domain: { ...publicRequest.domain, name: 'other' } },
    { domain: { ...publicRequest.domain, version: 'other' } },
    { domain: { ...publicRequest.domain, chainId: new Uint8Array(32).fill(3) } },
    { domain: { ...publicRequest.domain, verifyingContract: new Uint8Array(20).fill(3) } },
    { domain: { ...publicRequest.domain, salt: new Uint8Array(32) } },
    { extraData: Uint8Array.of(1) },
  ];
  const digests = changes.map((change) => toHex(namePublicRequest({ ...publicRequest, ...change }).name.digest));
  t.equal(new Set(digests).size, changes.length);
});

t.test('the user and his key count, signing schemes do not', async (t) => {
  const digestOf = (change: object) => toHex(nameUserRequest({ ...userRequest, ...change }).name.digest);
  const digest = digestOf({});
  t.not(digestOf({ clientAddress: new Uint8Array(20).fill(1) }), digest);
  t.not(digestOf({ encKey: encKey.with(400, (encKey[400] ?? 0) ^ 1) }), digest);
  t.equal(digestOf({ signingSchemes: [1] }), digest);
  t.not(toHex(namePublicRequest(userRequest).name.digest), digest, 'the kind counts');
});

t.test('a name holds the kind and the 32 bytes of the id', async (t) => {
  const { kind, id, digest } = nameUserRequest(userRequest).name;
  t.equal(kind, 'user');
  t.equal(toHex(id), userRequest.requestId);
  t.equal(digest.byteLength, 32);
});
