/** Signatures of answers: the golden vectors verify, and no signature has a second form. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { HASH_TAG } from '../../../wire/hash.ts';
import {
  addressOfCompressedKey,
  EXTERNAL_SIGNATURE_BYTES,
  INTERNAL_SIGNATURE_BYTES,
  recoverSigner,
  verifyInternalSignature,
} from '../../../wire/signatures.ts';
import { verificationKeyDigest } from '../../../wire/signcryption.ts';
import { flip, node, otherNode } from './honest-answers.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));

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
