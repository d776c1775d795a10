/** The client's checks: an honest node's answers open, every lie is refused by name. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { clone } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import {
  type PublicDecryptionResponse,
  PublicDecryptionResponseSchema,
  type UserDecryptionResponse,
  UserDecryptionResponseSchema,
} from '../../../proto/gen/kms_pb.js';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import { userDecryptionLink } from '../../../wire/eip712.ts';
import { FHE_TYPES, fheType } from '../../../wire/fhe-types.ts';
import { HASH_TAG } from '../../../wire/hash.ts';
import type { TypedPlaintextData } from '../../../wire/payloads.ts';
import {
  addressOfCompressedKey,
  EXTERNAL_SIGNATURE_BYTES,
  INTERNAL_SIGNATURE_BYTES,
  recoverSigner,
  verifyInternalSignature,
} from '../../../wire/signatures.ts';
import {
  encKeyOfSeed,
  expandedPrivateKey,
  generateUserKeyPair,
  KEM_CIPHERTEXT_BYTES,
  unsigncrypt,
  verificationKeyDigest,
} from '../../../wire/signcryption.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../../wire/validate/decryption.ts';
import {
  type ExpectedAnswer,
  type ExpectedUserAnswer,
  verifyPublicDecryption,
  verifyUserDecryption,
} from '../../../wire/verify-response.ts';
import { present } from '../../helpers/present.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';
import { handleOf, publicDecryptionRequest, userDecryptionRequest } from '../../helpers/requests.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));
const node = createReferenceNode();
const otherNode = createReferenceNode(new Uint8Array(32).fill(9));
const user = generateUserKeyPair();
const otherUser = generateUserKeyPair();
const extraData = Uint8Array.of(0xaa);
const untrusted = { code: 'REQUEST_INVALID', message: /not to be trusted/ };

const plaintexts: TypedPlaintextData[] = [
  { bytes: Uint8Array.of(1), fheType: 0 },
  { bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), fheType: 5 },
];
const ciphertexts = plaintexts.map(({ fheType }, i) => ({ fheType, externalHandle: handleOf(i + 1, fheType) }));
const handles = ciphertexts.map(({ externalHandle }) => externalHandle);

const publicRequest = parsePublicDecryption(publicDecryptionRequest({ ciphertexts, extraData }));
const userRequest = parseUserDecryption(
  userDecryptionRequest({ typedCiphertexts: ciphertexts, encKey: user.encKey, extraData }),
);
const expected: ExpectedAnswer = { domain: publicRequest.domain, handles, extraData, signer: node.address };
const expectedByUser: ExpectedUserAnswer = {
  ...expected,
  clientAddress: userRequest.clientAddress,
  encKey: user.encKey,
  seed: user.seed,
};

function flip(bytes: Uint8Array, at = bytes.byteLength - 1): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  return flipped;
}

t.test('signatures of the golden vectors verify', async (t) => {
  const hello = Buffer.from('hello');
  const signature = fromHex(vectors.k0.signatureOfHello);
  t.equal(toHex(node.signInternal(HASH_TAG.publicDecryption, hello)), vectors.k0.signatureOfHello);
  t.ok(verifyInternalSignature(HASH_TAG.publicDecryption, hello, signature, node.publicKey));
  t.notOk(verifyInternalSignature(HASH_TAG.userDecryption, hello, signature, node.publicKey), 'another tag');
  t.notOk(verifyInternalSignature(HASH_TAG.publicDecryption, hello, signature, otherNode.publicKey), 'another key');
  t.notOk(verifyInternalSignature(HASH_TAG.publicDecryption, hello, flip(signature), node.publicKey), 'changed');
  t.notOk(verifyInternalSignature(HASH_TAG.publicDecryption, hello, signature.subarray(1), node.publicKey), 'cut');
  t.notOk(verifyInternalSignature(HASH_TAG.publicDecryption, hello, new Uint8Array(64), node.publicKey), 'zeros');
  t.notOk(verifyInternalSignature(HASH_TAG.publicDecryption, hello, signature, new Uint8Array(33)), 'no point');
  t.equal(toHex(verificationKeyDigest(node.publicKey)), vectors.k0.verificationKeyDigest);
});

/** s ↦ n − s: equally valid arithmetic, and refused. */
function highS(signature: Uint8Array): Uint8Array {
  const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const s = n - BigInt(`0x${toHex(signature.subarray(32, 64))}`);
  const v = signature[64] === undefined ? '' : (55 - signature[64]).toString(16);
  return fromHex(toHex(signature.subarray(0, 32)) + s.toString(16).padStart(64, '0') + v);
}

t.test('a signature with high s, another v or another length is refused', async (t) => {
  const digest = createHash('sha256').update('digest').digest();
  const signature = node.signDigest(digest);
  t.equal(signature.byteLength, EXTERNAL_SIGNATURE_BYTES);
  t.equal(formatAddress(recoverSigner(digest, signature)), node.addressText);
  const v = signature[64] ?? 0;
  for (const [why, bad] of [
    ['high s', highS(signature)],
    ['v 0 or 1', Uint8Array.of(...signature.subarray(0, 64), v - 27)],
    ['v 29', Uint8Array.of(...signature.subarray(0, 64), 29)],
    ['no v', signature.subarray(0, INTERNAL_SIGNATURE_BYTES)],
    ['a byte more', Uint8Array.of(...signature, 0)],
    ['zeros', Uint8Array.of(...new Uint8Array(64), 27)],
    ['all ones', Uint8Array.of(...new Uint8Array(64).fill(255), 27)],
  ] as const) {
    t.throws(() => recoverSigner(digest, bad), { code: 'REQUEST_INVALID' }, why);
  }
  const internal = node.signInternal(HASH_TAG.publicDecryption, digest);
  t.notOk(
    verifyInternalSignature(HASH_TAG.publicDecryption, digest, highS(internal), node.publicKey),
    'internal, high s',
  );
  t.throws(() => addressOfCompressedKey(new Uint8Array(33)), { code: 'REQUEST_INVALID' });
  t.throws(() => addressOfCompressedKey(new Uint8Array(32)), { code: 'REQUEST_INVALID' });
});

t.test('an honest public decryption gives its plaintexts', async (t) => {
  const response = node.answerPublic(publicRequest, plaintexts);
  t.same(verifyPublicDecryption(response, { ...expected, requestId: publicRequest.requestId }), plaintexts);
});

t.test('a public decryption that lies is refused', async (t) => {
  const honest = node.answerPublic(publicRequest, plaintexts);
  const lie = (change: (response: PublicDecryptionResponse) => void): PublicDecryptionResponse => {
    const response = clone(PublicDecryptionResponseSchema, honest);
    change(response);
    return response;
  };
  const payload = (response: PublicDecryptionResponse) => present(response.payload);
  const lies: [string, PublicDecryptionResponse][] = [
    ['no payload', lie((r) => delete r.payload)],
    [
      'another plaintext',
      lie((r) => {
        present(payload(r).plaintexts[1]).bytes = new Uint8Array(8);
      }),
    ],
    [
      'another type',
      lie((r) => {
        present(payload(r).plaintexts[0]).fheType = 2;
      }),
    ],
    [
      'a wider plaintext',
      lie((r) => {
        present(payload(r).plaintexts[0]).bytes = new Uint8Array(2);
      }),
    ],
    [
      'a plaintext less',
      lie((r) => {
        payload(r).plaintexts.pop();
      }),
    ],
    [
      'other extra data',
      lie((r) => {
        r.extraData = new Uint8Array(0);
      }),
    ],
    [
      'external signature changed',
      lie((r) => {
        r.externalSignature = flip(r.externalSignature, 3);
      }),
    ],
    [
      'internal signature changed',
      lie((r) => {
        r.signature = flip(r.signature);
      }),
    ],
    [
      'no internal signature',
      lie((r) => {
        r.signature = new Uint8Array(0);
      }),
    ],
    [
      'key of another node',
      lie((r) => {
        payload(r).verificationKey = present(otherNode.answerPublic(publicRequest, plaintexts).payload).verificationKey;
      }),
    ],
    [
      'another request id',
      lie((r) => {
        payload(r).requestId = present(publicDecryptionRequest().keyId);
      }),
    ],
    ['another node', otherNode.answerPublic(publicRequest, plaintexts)],
  ];
  for (const [why, response] of lies) {
    t.throws(
      () => verifyPublicDecryption(response, { ...expected, requestId: publicRequest.requestId }),
      { code: 'REQUEST_INVALID' },
      why,
    );
  }
  t.throws(
    () => verifyPublicDecryption(honest, { ...expected, handles: [...handles].reverse() }),
    untrusted,
    'handles',
  );
});

t.test('an honest user decryption opens for every type', async (t) => {
  for (const type of FHE_TYPES) {
    const value = { bytes: new Uint8Array(type.sizeBytes).fill(type.number === 0 ? 1 : 0xab), fheType: type.number };
    const request = parseUserDecryption(
      userDecryptionRequest({ typedCiphertexts: [{ externalHandle: handleOf(1) }], encKey: user.encKey, extraData }),
    );
    const response = node.answerUser(request, node.userPayload(request, [value]));
    t.same(verifyUserDecryption(response, { ...expectedByUser, handles: [handleOf(1)] }), [value], type.name);
  }
});

t.test('a user decryption that lies is refused', async (t) => {
  const payload = node.userPayload(userRequest, plaintexts);
  const honest = node.answerUser(userRequest, payload);
  t.same(verifyUserDecryption(honest, expectedByUser), plaintexts);
  const [first, second] = payload.signcryptedCiphertexts.map((item) => present(item));
  if (first === undefined || second === undefined) throw new Error('two items were made');
  const change = (edit: (response: UserDecryptionResponse) => void): UserDecryptionResponse => {
    const response = clone(UserDecryptionResponseSchema, honest);
    edit(response);
    return response;
  };
  const resigned = (changes: Partial<typeof payload>): UserDecryptionResponse =>
    node.answerUser(userRequest, { ...payload, ...changes });
  const items = (...list: (typeof first)[]) => ({ signcryptedCiphertexts: list });
  const lies: [string, UserDecryptionResponse][] = [
    ['no payload', change((r) => delete r.payload)],
    [
      'other extra data',
      change((r) => {
        r.extraData = new Uint8Array(0);
      }),
    ],
    [
      'external signature changed',
      change((r) => {
        r.externalSignature = flip(r.externalSignature, 3);
      }),
    ],
    [
      'internal signature changed',
      change((r) => {
        r.signature = flip(r.signature);
      }),
    ],
    ['another node', otherNode.answerUser(userRequest, otherNode.userPayload(userRequest, plaintexts))],
    ['another link', resigned({ digest: flip(payload.digest) })],
    ['party 2', resigned({ partyId: 2 })],
    ['degree 1', resigned({ degree: 1 })],
    ['an item less', resigned(items(first))],
    ['items swapped', resigned(items(second, first))],
    ['another packing factor', resigned(items({ ...first, packingFactor: 2 }, second))],
    ['another type beside the same plaintext', resigned(items({ ...first, fheType: 2 }, second))],
    ['another handle', resigned(items({ ...first, externalHandle: handleOf(9) }, second))],
  ];
  for (const [why, response] of lies) {
    t.throws(() => verifyUserDecryption(response, expectedByUser), { code: 'REQUEST_INVALID' }, why);
  }
  const broken = resigned(items({ ...first, signcryptedCiphertext: flip(first.signcryptedCiphertext) }, second));
  t.throws(() => verifyUserDecryption(broken, expectedByUser), { code: 'CIPHERTEXT_INVALID' }, 'ciphertext changed');
});

const link = userDecryptionLink({
  domain: userRequest.domain,
  publicKey: user.encKey,
  handles,
  userAddress: userRequest.clientAddress,
});
const binding = {
  encKey: user.encKey,
  clientAddress: userRequest.clientAddress,
  link,
  verificationKey: node.publicKey,
};
const uint64 = present(fheType(5));
const value = { bytes: new Uint8Array(uint64.sizeBytes).fill(3), fheType: uint64.number };
const sct = node.signcrypt(value, userRequest, link);

t.test('a signcrypted plaintext opens only for the user, node and request it was made for', async (t) => {
  t.same(unsigncrypt(sct, user.seed, binding), value);
  const invalid = { code: 'CIPHERTEXT_INVALID' };
  t.throws(() => unsigncrypt(sct, otherUser.seed, binding), invalid, 'seed of another user');
  t.throws(() => unsigncrypt(sct, user.seed, { ...binding, encKey: otherUser.encKey }), invalid, 'another key');
  t.throws(() => unsigncrypt(sct, user.seed, { ...binding, verificationKey: otherNode.publicKey }), invalid, 'node');
  t.throws(() => unsigncrypt(sct, user.seed, { ...binding, link: flip(link) }), invalid, 'link');
  const clientAddress = parseAddress(vectors.k0.address);
  t.throws(() => unsigncrypt(sct, user.seed, { ...binding, clientAddress }), invalid, 'address');
  for (const [why, plaintext] of [
    ['wider than its type', { bytes: new Uint8Array(9), fheType: 5 }],
    ['41 bytes', { bytes: new Uint8Array(41), fheType: 8 }],
    ['unknown type', { bytes: new Uint8Array(1), fheType: 99 }],
  ] as const) {
    t.throws(() => unsigncrypt(node.signcrypt(plaintext, userRequest, link), user.seed, binding), invalid, why);
  }
  const shortLink = node.signcrypt(value, userRequest, link.subarray(0, 31));
  t.throws(() => unsigncrypt(shortLink, user.seed, { ...binding, link: link.subarray(0, 31) }), invalid, 'short link');
});

t.test('any change of a signcrypted plaintext is refused, and nothing worse happens', async (t) => {
  const refused = (bytes: Uint8Array): boolean => {
    try {
      unsigncrypt(bytes, user.seed, binding);
      return false;
    } catch (error) {
      return error instanceof KmsError && ['CIPHERTEXT_INVALID', 'REQUEST_INVALID'].includes(error.code);
    }
  };
  fc.assert(
    fc.property(fc.nat(sct.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const changed = Uint8Array.from(sct);
      changed[at] = (changed[at] ?? 0) ^ mask;
      return refused(changed) && refused(sct.subarray(0, at));
    }),
    { numRuns: 300 },
  );
  t.ok(refused(Buffer.concat([sct, Uint8Array.of(0)])), 'a byte more');
  t.ok(refused(new Uint8Array(12 + 8)), 'no KEM ciphertext');
  t.ok(
    refused(Buffer.concat([new Uint8Array(12), sct.subarray(12, 20 + KEM_CIPHERTEXT_BYTES), new Uint8Array(8)])),
    'no sealed part',
  );
});

t.test('a user key comes back from its seed', async (t) => {
  t.ok(equalBytes(encKeyOfSeed(user.seed), user.encKey));
  t.equal(user.seed.byteLength, user.seed.buffer.byteLength, 'a secret owns its memory');
  const expanded = expandedPrivateKey(user.seed);
  t.equal(expanded.byteLength, 1640);
  t.equal(expanded.byteLength, expanded.buffer.byteLength, 'a secret owns its memory');
  t.ok(equalBytes(expanded.subarray(8 + 768, 8 + 768 + 800), user.encKey.subarray(69)), 'holds the public key');
  t.throws(() => encKeyOfSeed(new Uint8Array(63)), { code: 'REQUEST_INVALID' });
});
