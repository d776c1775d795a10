/** The node's signing key and what checks its signatures, against published vectors and an independent library. */
import { createCipheriv, createHash, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import { inspect } from 'node:util';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import fc from 'fast-check';
import t from 'tap';
import { NodeKey } from '../../../native/engine/index.ts';
import { addressOf, recoverSigner, verifySignature } from '../../../native/engine/public.ts';
import { hex, toHex, vectors } from './crypto-vectors.ts';

const { k0, seed100 } = vectors;
const scalar = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .filter((bytes) => secp256k1.utils.isValidSecretKey(bytes));
const digest32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const ORDER = secp256k1.Point.Fn.ORDER;

t.test('has the published identity and signatures of key K0', async (t) => {
  using key = NodeKey.fromBytes(hex(k0.secret));
  t.equal(toHex(key.publicKey), k0.publicKey);
  t.equal(toHex(key.address), k0.address);
  t.equal(toHex(key.signSha256(Buffer.from(k0.internal.signed))), k0.internal.signature);
  t.equal(toHex(key.signDigest(hex(k0.eip712.digest))), k0.eip712.signature);
  t.equal(toHex(recoverSigner(hex(k0.eip712.digest), hex(k0.eip712.signature))), k0.address);
  t.equal(toHex(addressOf(key.publicKeyUncompressed)), k0.address);
});

t.test('has the published public keys of the scalar that seed 100 gives', async (t) => {
  const sampled = prng(100).subarray(0, 32);
  t.equal(toHex(sampled), seed100.secret, 'the scalar is the first block pair of the seeded generator');
  using key = NodeKey.fromBytes(sampled);
  t.equal(toHex(key.publicKey), seed100.publicKey);
  for (const { scheme, encodedSha256 } of seed100.derived) {
    const derived = key.derivedPublicKey(scheme);
    const header = Buffer.alloc(16);
    header.writeUInt32LE(scheme, 4);
    header.writeBigUInt64LE(BigInt(derived.length), 8);
    t.equal(createHash('sha256').update(header).update(derived).digest('hex'), encodedSha256, `scheme ${scheme}`);
  }
});

t.test('derives the keys that another library makes of the same seeds', async (t) => {
  using key = NodeKey.fromBytes(hex(seed100.secret));
  const pkcs8: Record<number, string> = {
    1: '302e020100300506032b657004220420',
    2: '3034020100300b060960864801650304031104228020',
    3: '3034020100300b060960864801650304031204228020',
    4: '3034020100300b060960864801650304031304228020',
  };
  for (const scheme of [1, 2, 3, 4]) {
    const number = Buffer.alloc(5, 1);
    number.writeInt32LE(scheme);
    const preimage = Buffer.concat([Buffer.from('SIGKDERV'), number, hex(seed100.secret)]);
    const seed = createHash('shake256', { outputLength: 32 }).update(preimage).digest();
    const der = Buffer.concat([hex(pkcs8[scheme] ?? ''), seed]);
    const theirs = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    const ours = key.derivedPublicKey(scheme);
    const spki = theirs.export({ format: 'der', type: 'spki' });
    t.equal(toHex(ours), toHex(spki.subarray(spki.length - ours.length)), `scheme ${scheme}`);
  }
});

t.test('signatures of derived keys verify in another library and are deterministic', async (t) => {
  using key = NodeKey.fromBytes(hex(seed100.secret));
  const message = Buffer.from('PDAT_KEYmessage');
  const spki: Record<number, string> = {
    1: '302a300506032b6570032100',
    2: '30820532300b06096086480165030403110382052100',
    3: '308207b2300b0609608648016503040312038207a100',
    4: '30820a32300b060960864801650304031303820a2100',
  };
  for (const [scheme, length] of [
    [1, 64],
    [2, 2420],
    [3, 3309],
    [4, 4627],
  ] as const) {
    const signature = key.signScheme(scheme, message);
    t.equal(signature.length, length, `length, scheme ${scheme}`);
    t.strictSame(key.signScheme(scheme, message), signature, `deterministic, scheme ${scheme}`);
    const der = Buffer.concat([hex(spki[scheme] ?? ''), key.derivedPublicKey(scheme)]);
    const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' });
    t.ok(verify(null, message, publicKey, signature), `verifies, scheme ${scheme}`);
    t.notOk(verify(null, Buffer.from('other'), publicKey, signature), `only this message, scheme ${scheme}`);
  }
  for (const scheme of [0, 5, 4294967295]) {
    t.throws(() => key.signScheme(scheme, message), { code: 'REQUEST_INVALID' }, `scheme ${scheme}`);
  }
});

t.test('signs exactly as an independent RFC 6979 implementation', async (t) => {
  fc.assert(
    fc.property(scalar, digest32, (secret, digest) => {
      using key = NodeKey.fromBytes(secret);
      const theirs = secp256k1.sign(digest, secret, { prehash: false, format: 'recovered', lowS: true });
      const ours = key.signDigest(digest);
      const rs = ours.subarray(0, 64);
      const same = toHex(rs) === toHex(theirs.subarray(1)) && ours[64] === 27 + (theirs[0] ?? 0);
      const der = secp256k1.Signature.fromBytes(key.signDer(digest), 'der').toBytes('compact');
      return (
        same &&
        toHex(der) === toHex(rs) &&
        toHex(key.publicKey) === toHex(secp256k1.getPublicKey(secret, true)) &&
        toHex(recoverSigner(digest, ours)) === toHex(key.address) &&
        verifySignature(key.publicKey, digest, rs)
      );
    }),
    { numRuns: 50 },
  );
  t.pass('1 property');
});

t.test('refuses signatures that are not the canonical one', async (t) => {
  using key = NodeKey.fromBytes(hex(k0.secret));
  const digest = hex(k0.eip712.digest);
  const good = key.signDigest(digest);
  const highS = Buffer.from(good);
  const s = ORDER - BigInt(`0x${toHex(good.subarray(32, 64))}`);
  highS.set(hex(s.toString(16).padStart(64, '0')), 32);
  highS[64] = 55 - (good[64] ?? 0);
  t.notOk(verifySignature(key.publicKey, digest, highS.subarray(0, 64)), 'high s is not valid');
  const bad: [string, Uint8Array][] = [
    ['high s', highS],
    ['v = 0', Buffer.from(good).fill(0, 64)],
    ['v = 1', Buffer.from(good).fill(1, 64)],
    ['v = 29', Buffer.from(good).fill(29, 64)],
    ['cut', good.subarray(0, 64)],
    ['extended', Buffer.concat([good, Buffer.alloc(1)])],
    ['all ones', Buffer.alloc(65, 255).fill(27, 64)],
    ['zero r', Buffer.from(good).fill(0, 0, 32)],
    ['zero s', Buffer.from(good).fill(0, 32, 64)],
    ['empty', new Uint8Array()],
  ];
  for (const [why, signature] of bad) {
    t.throws(() => recoverSigner(digest, signature), { code: 'REQUEST_INVALID' }, why);
    if (signature.length !== 64) t.notOk(verifySignature(key.publicKey, digest, signature), why);
  }
  t.throws(() => recoverSigner(digest.subarray(1), good), { code: 'REQUEST_INVALID' }, 'short digest');
  t.throws(() => verifySignature(new Uint8Array(33), digest, good), { code: 'KEY_INVALID' }, 'no point');
  t.throws(() => addressOf(new Uint8Array(20)), { code: 'KEY_INVALID' }, 'no key');
});

t.test('refuses scalars that are no key', async (t) => {
  const n = hex(ORDER.toString(16));
  const bad: [string, Uint8Array][] = [
    ['zero', new Uint8Array(32)],
    ['the group order', n],
    ['all ones', new Uint8Array(32).fill(255)],
    ['short', new Uint8Array(31).fill(1)],
    ['long', new Uint8Array(33).fill(1)],
    ['empty', new Uint8Array()],
  ];
  for (const [why, bytes] of bad) t.throws(() => NodeKey.fromBytes(bytes), { code: 'KEY_INVALID' }, why);
});

t.test('fresh keys differ, and a secret goes out and in again', async (t) => {
  using one = NodeKey.generate();
  using two = NodeKey.generate();
  t.notSame(one.publicKey, two.publicKey);
  const secret = one.secretBytes();
  t.equal(secret.buffer.byteLength, 32, 'the secret has a buffer of its own, so wiping it wipes all of it');
  using again = NodeKey.fromBytes(secret);
  t.strictSame(again.publicKey, one.publicKey);
});

t.test('a key shows nothing and does nothing once disposed of', async (t) => {
  const key = NodeKey.fromBytes(hex(k0.secret));
  for (const text of [inspect(key, { showHidden: true, depth: 9 }), JSON.stringify({ key }), String(key)]) {
    t.notMatch(text, /0102030405|1, 2, 3|01 02 03/, text);
  }
  key.dispose();
  key.dispose();
  t.throws(() => key.signDigest(new Uint8Array(32)), { code: 'KEY_INVALID' });
  t.throws(() => key.secretBytes(), { code: 'KEY_INVALID' });
});

/** AES-128 in counter mode (little-endian counter from 0) under a PCG32-expanded seed, as the fixtures are made. */
function prng(seed: number): Buffer {
  const key = Buffer.alloc(16);
  let state = BigInt(seed);
  for (let word = 0; word < 4; word++) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 11634580027462260723n);
    const shifted = Number(BigInt.asUintN(32, ((state >> 18n) ^ state) >> 27n));
    const by = Number(state >> 59n);
    key.writeUInt32LE(((shifted >>> by) | (shifted << (32 - by))) >>> 0, word * 4);
  }
  const blocks = Buffer.alloc(64);
  for (let block = 0; block < 4; block++) blocks.writeUInt32LE(block, block * 16);
  return createCipheriv('aes-128-ecb', key, null).setAutoPadding(false).update(blocks);
}
