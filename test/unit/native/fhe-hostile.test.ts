/** Ciphertexts that are damaged or lie about themselves: each is refused by name, none harms the process. */
import t from 'tap';
import { publicDecryptSync } from '../../../native/engine/index.ts';
import { FORMATS, PLAINTEXT_BYTES, testKeySet } from '../../helpers/fhe-key-set.ts';
import { mutate, seededRandom } from '../../helpers/mutate.ts';

/** Replaces the only place where `from` stands; both are little-endian numbers of `size` bytes. */
function patch(bytes: Uint8Array, at: number, value: bigint, size: 4 | 8): Uint8Array {
  const copy = new Uint8Array(bytes);
  const view = new DataView(copy.buffer);
  if (size === 4) view.setUint32(at, Number(value), true);
  else view.setBigUint64(at, value, true);
  return copy;
}

t.test('refuses every lie in the structure of a BigCompressed ciphertext', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  const good = await evaluation.encrypt(5n, 5, 2);
  const decrypt = (ciphertext: Uint8Array) => publicDecryptSync(key, [{ ciphertext, fheType: 5, format: 2 }]);
  t.same(decrypt(good), [new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0])]);
  const name = 'high_level_api::CompressedSquashedNoiseCiphertextList';
  const start = 34 + name.length;
  const words = start + 12 + 8 + 8;
  const tail = words + 8 + 16 * (256 + 16);
  for (const [why, at, value, size, message] of [
    ['header version', 8, 0x39_2e_30n, 4, /safe serialization/],
    ['versioning mode', 11, 1n, 4, /safe serialization/],
    ['name', 40, 0n, 4, /is not a/],
    ['list version', start, 1n, 4, /version 1/],
    ['no packed ciphertexts', start + 12, 0n, 8, /number of packed ciphertexts is 0/],
    ['2^60 packed ciphertexts', start + 12, 1n << 60n, 8, /number of packed ciphertexts/],
    ['too many words', words, 273n, 8, /packed words is 273/],
    ['2^61 words', words, 1n << 61n, 8, /packed words/],
    ['stored width', tail + 4, 127n, 8, /stored width is 127/],
    ['number of coefficients', tail + 12, 271n, 8, /coefficients is 271/],
    ['GLWE dimension', tail + 24, 2n, 8, /GLWE dimension is 2/],
    ['polynomial size', tail + 36, 512n, 8, /polynomial size is 512/],
    ['bodies', tail + 48, 15n, 8, /bodies is 15/],
    ['modulus', tail + 60, 1n, 8, /ciphertext modulus is not/],
    ['modulus width', tail + 76, 64n, 8, /modulus width is 64/],
    ['message modulus', tail + 93, 2n, 8, /message modulus is 2/],
    ['carry modulus', tail + 105, 8n, 8, /carry modulus is 8/],
    ['samples in a GLWE', tail + 117, 64n, 8, /samples in a GLWE is 64/],
    ['two elements', tail + 125, 2n, 8, /holds 2 elements/],
    ['no element', tail + 125, 0n, 8, /holds 0 elements/],
    ['signed', tail + 137, 1n, 4, /does not hold/],
    ['boolean', tail + 137, 2n, 4, /does not hold/],
    ['31 blocks', tail + 141, 31n, 8, /does not hold/],
    ['tag length', tail + 153, 1n << 40n, 8, /cut short/],
    ['tag length', tail + 153, 31n, 8, /1 bytes follow/],
  ] as const) {
    t.throws(() => decrypt(patch(good, at, value, size)), { code: 'CIPHERTEXT_INVALID', message }, why);
  }
  t.throws(() => decrypt(new Uint8Array()), { code: 'CIPHERTEXT_INVALID' }, 'empty');
  t.throws(() => decrypt(new Uint8Array(66 * 1024 * 1024 + 1)), { message: /at most/ }, 'too large');
});

t.test('reads samples from any alignment and leaves the bytes as they were', async (t) => {
  const { key, evaluation } = await testKeySet(t);
  for (const format of FORMATS.keys()) {
    const good = await evaluation.encrypt(0x1122_3344n, 4, format);
    for (let shift = 0; shift < 9; shift++) {
      const moved = new Uint8Array(good.length + shift).subarray(shift);
      moved.set(good);
      const [plaintext] = publicDecryptSync(key, [{ ciphertext: moved, fheType: 4, format }]);
      t.same(plaintext, new Uint8Array([0x44, 0x33, 0x22, 0x11]));
      t.same(Buffer.compare(moved, good), 0);
    }
  }
});

t.test('gives a plaintext of the right width or CIPHERTEXT_INVALID for damaged input, nothing else', async (t) => {
  const seed = Number(process.env.ARCA_TEST_SEED ?? Date.now() % 2 ** 31);
  t.comment(`ARCA_TEST_SEED=${seed}`);
  const random = seededRandom(seed);
  const { key, evaluation } = await testKeySet(t);
  const samples = [];
  for (const fheType of [0, 2, 5, 8]) {
    for (const format of FORMATS.keys()) {
      samples.push({ fheType, format, ciphertext: await evaluation.encrypt(1n, fheType, format) });
    }
  }
  let refused = 0;
  const rounds = 4000;
  for (let round = 0; round < rounds; round++) {
    const sample = samples[random(samples.length)];
    const donor = samples[random(samples.length)];
    if (!sample || !donor) continue;
    const { fheType, format } = sample;
    const ciphertext = mutate(random, sample.ciphertext, donor.ciphertext);
    try {
      const [plaintext] = publicDecryptSync(key, [{ ciphertext, fheType, format }]);
      if (plaintext?.length !== PLAINTEXT_BYTES[fheType]) t.fail(`round ${round}: wrong width`);
    } catch (error) {
      refused++;
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'CIPHERTEXT_INVALID') {
        t.fail(`round ${round}: ${String(error)}`);
      }
    }
  }
  t.ok(refused > rounds / 4, `${refused} of ${rounds} refused`);
});
