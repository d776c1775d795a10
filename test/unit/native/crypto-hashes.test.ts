/** Hashes against Node's own and an independent Keccak, and the checks of a user's encapsulation key. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { blake3 as nobleBlake3 } from '@noble/hashes/blake3.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import fc from 'fast-check';
import t from 'tap';
import { blake3 } from '../../../native/engine/index.ts';
import { checkEncKey, DomainDigest, keccak256, sha256 } from '../../../native/engine/public.ts';
import { hex, toHex, vectors } from './crypto-vectors.ts';

const shake256 = (data: Uint8Array) => createHash('shake256', { outputLength: 32 }).update(data).digest();

t.test('hashes as other libraries do', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(600), (data, cut) => {
      const digest = new DomainDigest().update(data.subarray(0, cut)).update(data.subarray(cut)).finish();
      return (
        toHex(keccak256(data)) === toHex(keccak_256(data)) &&
        toHex(blake3(data)) === toHex(nobleBlake3(data)) &&
        toHex(sha256(data)) === createHash('sha256').update(data).digest('hex') &&
        toHex(digest) === shake256(data).toString('hex')
      );
    }),
  );
  t.pass('1 property');
  const large = new Uint8Array(99_000).map((_, i) => i % 251);
  t.equal(toHex(blake3(large)), toHex(nobleBlake3(large)), 'a tree of many chunks');
});

t.test('has the published digests of the signcryption keys', async (t) => {
  const length = (n: number) => Buffer.from(new BigUint64Array([BigInt(n)]).buffer);
  const vk = new DomainDigest('SIGNCRYP').update(length(33)).update(hex(vectors.k0.publicKey)).finish();
  t.equal(toHex(vk), vectors.k0.signcryptionDigest);
  const ek0 = Uint8Array.from({ length: 800 }, (_, i) => i % 256);
  t.equal(toHex(new DomainDigest('SIGNCRYP').update(length(800)).update(ek0).finish()), vectors.ek0Digest);
});

t.test('hashes large chunks off the loop, in order, once', async (t) => {
  const chunks = [1, 70_000, 3, 200_000].map((size, i) => new Uint8Array(size).fill(i + 1));
  const digest = new DomainDigest('PDAT_KEY');
  for (const chunk of chunks) await digest.absorb(chunk);
  const expected = shake256(Buffer.concat([Buffer.from('PDAT_KEY'), ...chunks]));
  t.equal(toHex(digest.finish()), expected.toString('hex'));
  t.throws(() => digest.finish(), { code: 'INTERNAL' });
  t.throws(() => digest.update(new Uint8Array(1)), { code: 'INTERNAL' });
  await t.rejects(digest.absorb(new Uint8Array(70_000)), { code: 'INTERNAL' });
});

t.test('takes a fresh ML-KEM-512 key in its one wire form', async (t) => {
  t.doesNotThrow(() => checkEncKey(freshEncKey()));
});

t.test('refuses every other form of an encapsulation key', async (t) => {
  const good = freshEncKey();
  const changed = (at: number, to: number) => Buffer.from(good).fill(to, at, at + 1);
  const bad: [string, Uint8Array][] = [
    ['empty', new Uint8Array()],
    ['cut', good.subarray(0, 868)],
    ['extended', Buffer.concat([good, Buffer.alloc(1)])],
    ['raw', good.subarray(69)],
    ['other header version', changed(10, 0x36)],
    ['other type name', changed(40, 0x58)],
    ['version 1', changed(53, 1)],
    ['ML-KEM-1024', changed(57, 1)],
    ['length 801', changed(61, 0x21)],
  ];
  for (const [why, bytes] of bad) t.throws(() => checkEncKey(bytes), { code: 'KEY_INVALID' }, why);
});

t.test('refuses coefficients of q or more wherever they stand', async (t) => {
  const good = freshEncKey();
  fc.assert(
    fc.property(fc.nat(511), fc.integer({ min: 3328, max: 4095 }), (index, value) => {
      const bytes = Buffer.from(good);
      const at = 69 + Math.floor(index / 2) * 3;
      const packed = bytes.readUIntLE(at, 3);
      const changed = index % 2 === 0 ? (packed & 0xfff000) | value : (packed & 0xfff) | (value << 12);
      bytes.writeUIntLE(changed, at, 3);
      return accepted(bytes) === (value === 3328);
    }),
  );
  t.pass('1 property');
});

function accepted(encKey: Uint8Array): boolean {
  try {
    checkEncKey(encKey);
    return true;
  } catch {
    return false;
  }
}

function freshEncKey(): Buffer {
  const { publicKey } = generateKeyPairSync('ml-kem-512');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-800);
  return Buffer.concat([hex(vectors.encKeyPrefix), raw]);
}
