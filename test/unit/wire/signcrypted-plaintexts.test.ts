/** Plaintexts that are signcrypted for a user: opened by whom they are for, refused after any change. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { equalBytes } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { parseAddress } from '../../../wire/addresses.ts';
import { userDecryptionLink } from '../../../wire/eip712.ts';
import { fheType } from '../../../wire/fhe-types.ts';
import {
  encKeyOfSeed,
  expandedPrivateKey,
  generateUserKeyPair,
  KEM_CIPHERTEXT_BYTES,
  unsigncrypt,
} from '../../../wire/signcryption.ts';
import { present } from '../../helpers/present.ts';
import { flip, handles, node, otherNode, user, userRequest } from './honest-answers.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));
const otherUser = generateUserKeyPair();

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
