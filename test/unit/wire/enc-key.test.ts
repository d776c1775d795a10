/** The user's encryption key: one form per key, everything else refused. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { ENC_KEY_BYTES, encodeEncKey, parseEncKey } from '../../../wire/enc-key.ts';
import { encKeyDigest, generateUserKeyPair } from '../../../wire/signcryption.ts';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/wire/annex-a.json', import.meta.url), 'utf8'));
const invalid = { code: 'REQUEST_INVALID', facts: { field: 'enc_key' } };
const { encKey } = generateUserKeyPair();
const PREFIX_BYTES = 69;

/** A well-formed key: twelve-bit coefficients below 3329, then any seed. */
const keys = fc
  .tuple(fc.array(fc.nat(3328), { minLength: 512, maxLength: 512 }), fc.uint8Array({ minLength: 32, maxLength: 32 }))
  .map(([coefficients, seed]) => {
    const ek = new Uint8Array(800);
    for (let i = 0; i < 256; i++) {
      const [a = 0, b = 0] = coefficients.slice(2 * i, 2 * i + 2);
      ek.set([a & 255, (a >> 8) | ((b & 15) << 4), b >> 4], 3 * i);
    }
    ek.set(seed, 768);
    return ek;
  });

t.test('every reduced key of 800 bytes has one enc_key that reads back', async (t) => {
  fc.assert(
    fc.property(keys, (ek) => equalBytes(parseEncKey(encodeEncKey(ek)), ek)),
    { numRuns: 30 },
  );
  t.equal(toHex(encKey.subarray(0, PREFIX_BYTES)), vectors.encKeyPrefix);
  t.equal(encKey.byteLength, ENC_KEY_BYTES);
  t.equal(parseEncKey(encKey).buffer, encKey.buffer, 'without copying');
});

t.test('the digest of a key is the golden vector', async (t) => {
  const ek0 = Uint8Array.from({ length: 800 }, (_, i) => i % 256);
  t.equal(toHex(encKeyDigest(ek0)), vectors.ek0.digest);
});

t.test('any other length is refused', async (t) => {
  for (const length of [0, 1, PREFIX_BYTES, 800, 868]) {
    t.throws(() => parseEncKey(encKey.subarray(0, length)), invalid, `${length} bytes`);
  }
  t.throws(() => parseEncKey(Buffer.concat([encKey, Uint8Array.of(0)])), invalid, 'a byte more');
  t.throws(() => encodeEncKey(new Uint8Array(799)), invalid);
});

t.test('any changed bit of the header is refused', async (t) => {
  for (let bit = 0; bit < PREFIX_BYTES * 8; bit++) {
    const flipped = Uint8Array.from(encKey);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    t.throws(() => parseEncKey(flipped), invalid, `bit ${bit}`);
  }
});

t.test('a coefficient that is not reduced is refused wherever it stands', async (t) => {
  for (const at of [0, 1, 2, 255, 256, 510, 511]) {
    for (const [value, good] of [
      [3328, true],
      [3329, false],
      [4095, false],
    ] as const) {
      const ek = new Uint8Array(800);
      const byte = (at >> 1) * 3;
      if (at % 2 === 0) ek.set([value & 255, value >> 8], byte);
      else ek.set([(value & 15) << 4, value >> 4], byte + 1);
      const parse = (): Uint8Array => parseEncKey(encodeEncKey(ek));
      if (good) t.doesNotThrow(parse, `coefficient ${at} is ${value}`);
      else t.throws(parse, invalid, `coefficient ${at} is ${value}`);
    }
  }
});

t.test('ML-KEM-1024 and bare keys are refused by name', async (t) => {
  const mlkem1024 = Buffer.concat([fromHex(vectors.encKeyPrefix), new Uint8Array(1568)]);
  mlkem1024[57] = 1;
  mlkem1024.writeBigUInt64LE(1568n, 61);
  t.throws(() => parseEncKey(mlkem1024), { ...invalid, message: /ML-KEM-1024/ });
  t.throws(() => parseEncKey(encKey.subarray(PREFIX_BYTES)), invalid, 'bare key');
});
