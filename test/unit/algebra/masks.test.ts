/** Masks: bound to the numbers that they hide, small integers of both signs, distributed as the argument wants. */
import { blake3 } from '@noble/hashes/blake3.js';
import t from 'tap';
import { concatBytes, toHex } from '../../../common/bytes.ts';
import { openingBound } from '../../../enclave/algebra/decryption.ts';
import { GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { maskDigest, SECRET_KEY_KIND } from '../../../enclave/algebra/mask-digest.ts';
import { isScalar } from '../../../enclave/algebra/packing.ts';
import { maskShare } from '../../../enclave/algebra/prss.ts';
import { encodeWord } from '../../../enclave/algebra/ring-encoding.ts';
import { openCodeword } from '../../../enclave/algebra/robust-decoding.ts';
import { derivePrfKey, phi } from '../../../enclave/algebra/set-prf.ts';
import { type Squashed, samplesOf } from '../../../enclave/algebra/squashed-ciphertext.ts';
import { present } from '../../helpers/present.ts';
import { encryptPacked, encryptSample, NAMES, randomKey } from './ciphertexts.ts';
import { keyedSets, setUps } from './set-ups.ts';

const BOUND = 1n << 110n;
const KEYS = [1, 2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const DIGEST = new Uint8Array(32).fill(9);

t.test('the digest is over exactly the bytes that the specification lists', async (t) => {
  const key = randomKey(8);
  const one = encryptPacked(key, 4, [1n, 2n, 3n]);
  const two = encryptPacked(key, 4, [4n]);
  const words = [...one.mask.flat(), ...one.bodies, ...two.mask.flat(), ...two.bodies];
  const preimage = concatBytes(
    Buffer.from('arca-mask-1'),
    NAMES.context,
    NAMES.epoch,
    NAMES.sharingId,
    NAMES.keyId,
    Uint8Array.of(5, 128, 2, 4, 0, 0, 0),
    ...words.map((word) => encodeWord(word, 16)),
  );
  const digest = maskDigest(NAMES, 'squashCompression', { format: 'BigCompressed', packed: [one, two] });
  t.equal(toHex(digest), toHex(blake3(preimage)));
});

t.test('packed samples are the coefficients of the negacyclic product', async (t) => {
  const key = randomKey(8);
  const values = [0n, 1n, 7n, 15n];
  const ciphertext: Squashed = { format: 'BigCompressed', packed: [encryptPacked(key, 4, values)] };
  const phases = samplesOf(ciphertext).map(({ mask, body }) =>
    GR128.word(body - mask.reduce((sum, a, k) => sum + a * (key[k] ?? 0n), 0n)),
  );
  t.same(
    phases.map((phase) => ((phase + (1n << 122n)) >> 123n) % 16n),
    values,
  );
  const tooMany = { ...encryptPacked(key, 4, values), bodies: [1n, 2n, 3n, 4n, 5n] };
  t.throws(() => samplesOf({ format: 'BigCompressed', packed: [tooMany] }), { code: 'REQUEST_INVALID' });
});

t.test('every name, the key, the format, the count and every word change the digest', async (t) => {
  const key = randomKey(4);
  const sample = encryptSample(key, 3n);
  const base: Squashed = { format: 'BigExpanded', samples: [sample, sample] };
  const digests = [
    maskDigest(NAMES, 'squash', base),
    ...(['context', 'epoch', 'sharingId', 'keyId'] as const).map((name) =>
      maskDigest({ ...NAMES, [name]: NAMES[name].with(31, 99) }, 'squash', base),
    ),
    ...(Object.keys(SECRET_KEY_KIND) as (keyof typeof SECRET_KEY_KIND)[])
      .filter((kind) => kind !== 'squash')
      .map((kind) => maskDigest(NAMES, kind, base)),
    ...(['SmallCompressed', 'SmallExpanded'] as const).map((format) =>
      maskDigest(NAMES, 'squash', { ...base, format }),
    ),
    maskDigest(NAMES, 'squash', { ...base, samples: [sample] }),
    ...sample.mask.map((word, k) =>
      maskDigest(NAMES, 'squash', {
        ...base,
        samples: [sample, { ...sample, mask: sample.mask.with(k, word ^ (1n << 127n)) }],
      }),
    ),
    maskDigest(NAMES, 'squash', { ...base, samples: [{ ...sample, body: sample.body ^ 1n }, sample] }),
  ].map(toHex);
  t.equal(new Set(digests).size, digests.length);
});

t.test('masks open to integers of both signs within 2·C(n, t)·2^110', async (t) => {
  for (const [n, threshold, count] of [
    [4, 1, 40],
    [7, 2, 20],
    [10, 3, 3],
    [13, 4, 1],
  ] as const) {
    const ups = setUps(
      n,
      threshold,
      keyedSets(n, threshold, (rank) => new Uint8Array(32).fill(rank % 251)),
    );
    const masks = Array.from({ length: count }, (_, block) => {
      const shares = new Map(ups.map((own) => [own.party, maskShare(own, DIGEST, block)]));
      return present(openCodeword(GR128, threshold, shares), `a codeword of ${n}`);
    });
    t.ok(masks.every(isScalar), 'scalars');
    const integers = masks.map(([word]) => BigInt.asIntN(128, word));
    const bound = openingBound(n, threshold) - (1n << 70n);
    t.ok(
      integers.every((mask) => mask <= bound && mask >= -bound),
      'bounded',
    );
    if (count > 10) t.ok(integers.some((mask) => mask < 0n) && integers.some((mask) => mask > 0n), 'both signs');
  }
});

t.test('one value of the function is uniform on [-2^110, 2^110)', async (t) => {
  const keys = KEYS.map((key) => derivePrfKey(key, DIGEST));
  const samples = keys.flatMap((key) => Array.from({ length: 4096 }, (_, i) => phi(key, BigInt(i))));
  t.ok(samples.every((value) => value >= -BOUND && value < BOUND));
  // 64 cells by the highest bits, then by the lowest: χ² with 63 degrees of freedom, mean 63, deviation 11.2.
  for (const cell of [(value: bigint) => (value + BOUND) >> 105n, (value: bigint) => (value + BOUND) & 63n]) {
    const counts = new Array<number>(64).fill(0);
    for (const value of samples) counts[Number(cell(value))] = (counts[Number(cell(value))] ?? 0) + 1;
    const chi2 = counts.reduce((sum, count) => sum + (count - 256) ** 2 / 256, 0);
    t.ok(chi2 > 63 - 6 * 11.2 && chi2 < 63 + 7 * 11.2, `χ² = ${chi2}`);
  }
});

t.test(
  'a block’s masks have mean 0 and variance 2·C(n, t)·2^220/3, and no correlation with the next block’s',
  async (t) => {
    const sets = keyedSets(4, 1, (rank) => present(KEYS[rank]));
    const keys = sets.map(({ key }) => derivePrfKey(key, DIGEST));
    const count = 4000;
    // In units of 2^110, exactly enough for moments.
    const masks = Array.from({ length: count }, (_, j) => {
      const total = keys.reduce((sum, key) => sum + phi(key, BigInt(2 * j)) + phi(key, BigInt(2 * j + 1)), 0n);
      return Number(total >> 60n) / 2 ** 50;
    });
    const mean = masks.reduce((sum, x) => sum + x, 0) / count;
    const variance = masks.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count;
    const covariance = masks.reduce((sum, x, j) => sum + x * (masks[(j + 1) % count] ?? 0), 0) / count;
    const expected = (2 * sets.length) / 3;
    // The keys are fixed, so this never fails by chance; the margins are four standard deviations.
    t.ok(Math.abs(mean) < 4 * Math.sqrt(expected / count), `mean ${mean}`);
    t.ok(Math.abs(variance - expected) < 4 * expected * Math.sqrt(2 / count), `variance ${variance}`);
    t.ok(Math.abs(covariance) < (4 * expected) / Math.sqrt(count), `covariance ${covariance}`);
  },
);

t.test('both values of a set are needed: their sum is a triangle, not a rectangle', async (t) => {
  const key = derivePrfKey(present(KEYS[0]), DIGEST);
  const count = 4000;
  const sums = Array.from({ length: count }, (_, j) => phi(key, BigInt(2 * j)) + phi(key, BigInt(2 * j + 1)));
  // A triangle of half-width 2B has 3/4 of its weight within B of zero; a rectangle would have half of it.
  const inner = sums.filter((sum) => sum < BOUND && sum >= -BOUND).length / count;
  t.ok(Math.abs(inner - 0.75) < 4 * Math.sqrt(0.1875 / count), `${inner}`);
});
