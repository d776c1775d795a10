/** Masked shares and their opening, all parties in one process, at test size. */
import fc from 'fast-check';
import t from 'tap';
import {
  openingBound,
  partialDecrypt,
  readBlocks,
  recompose,
  roundBlock,
} from '../../../enclave/algebra/decryption.ts';
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { openRobust } from '../../../enclave/algebra/robust-decoding.ts';
import type { Squashed } from '../../../enclave/algebra/squashed-ciphertext.ts';
import { encryptPacked, encryptSample, NAMES, randomKey, shareKey } from './ciphertexts.ts';
import { keyedSets, setUps } from './set-ups.ts';

const SIZE = 8;
const DELTA = 1n << 123n;

const packed = (key: readonly bigint[], values: readonly bigint[]): Squashed => ({
  format: 'BigCompressed',
  packed: Array.from({ length: Math.ceil(values.length / SIZE) }, (_, g) =>
    encryptPacked(key, SIZE, values.slice(g * SIZE, (g + 1) * SIZE)),
  ),
});
const expanded = (key: readonly bigint[], values: readonly bigint[]): Squashed => ({
  format: 'BigExpanded',
  samples: values.map((value) => encryptSample(key, value)),
});

/** Opens the parties' answers, with `errors` wrong ones to correct. */
function open(answers: readonly Element[][], threshold: number, errors: number): Element[] | undefined {
  const opened = (answers[0] ?? []).map((_, e) => {
    const shares = new Map(answers.map((answer, i): [number, Element] => [i + 1, answer[e] ?? GR128.zero]));
    return openRobust(GR128, threshold, shares, errors)?.value;
  });
  return opened.every((element) => element !== undefined) ? opened : undefined;
}

for (const [n, threshold] of [
  [4, 1],
  [7, 2],
] as const) {
  t.test(`${n} parties decrypt both big formats, with ${threshold} of them lying`, async (t) => {
    const key = randomKey(2 * SIZE);
    const shares = shareKey(key, n, threshold);
    const ups = setUps(n, threshold);
    for (const [make, kind] of [
      [packed, 'squashCompression'],
      [expanded, 'squash'],
    ] as const) {
      for (const count of [1, 3, 4, 9]) {
        const values = Array.from({ length: count }, (_, i) => BigInt((5 * i + 15) % 16));
        const ciphertext = make(key, values);
        const answers = ups.map((own, i) => partialDecrypt(shares[i] ?? [], own, NAMES, kind, ciphertext));
        t.ok(answers.every((answer) => answer.length === Math.ceil(count / 4)));
        const bound = openingBound(n, threshold);
        t.same(readBlocks(open(answers, threshold, 0) ?? [], count, bound), values, `${kind} ${count}`);
        for (let liar = 0; liar < threshold; liar++) answers[liar]?.fill([7n, 7n, 7n, BigInt(liar)]);
        t.same(readBlocks(open(answers, threshold, threshold) ?? [], count, bound), values, `${kind} ${count}, lies`);
        t.equal(open(answers, threshold, threshold - 1), undefined);
      }
    }
  });
}

t.test('what a group lacks is filled with masks, not with zeros', async (t) => {
  const key = randomKey(SIZE);
  const shares = shareKey(key, 4, 1);
  const ciphertext = expanded(key, [3n]);
  const answers = setUps(4, 1).map((own, i) => partialDecrypt(shares[i] ?? [], own, NAMES, 'squash', ciphertext));
  const [first, ...fillers] = open(answers, 1, 0)?.[0] ?? [];
  t.equal(roundBlock(first ?? 0n), 3n);
  t.equal(fillers.length, 3);
  for (const filler of fillers) {
    const mask = BigInt.asIntN(128, filler);
    t.ok(mask !== 0n && mask <= openingBound(4, 1) && mask >= -openingBound(4, 1), `${mask}`);
  }
});

t.test('the same numbers give the same answer; any other word gives another in every coefficient', async (t) => {
  const key = randomKey(SIZE);
  const shares = shareKey(key, 4, 1)[2] ?? [];
  const [, , own] = setUps(4, 1);
  if (own === undefined) throw new Error('no third party');
  const sample = encryptSample(key, 9n);
  const answer = (samples: readonly (typeof sample)[]): Element[] =>
    partialDecrypt(shares, own, NAMES, 'squash', { format: 'BigExpanded', samples });
  const first = answer([sample, sample]);
  t.same(answer([{ ...sample }, { mask: [...sample.mask], body: sample.body }]), first, 'a copy of the numbers');
  const flip = (word: bigint): bigint => word ^ 1n;
  const others = [
    ...sample.mask.map((word, k) => ({ ...sample, mask: sample.mask.with(k, flip(word)) })),
    { ...sample, body: flip(sample.body) },
  ];
  for (const other of others) {
    const words = [answer([sample, other]), answer([other, sample])].flat(2);
    t.ok(words.every((word, i) => word !== first.flat()[i % 4]));
  }
  t.notSame(answer([sample])[0], first[0], 'the block count is in the digest');
});

t.test('what opens too far from a multiple of Δ is refused as of an inconsistent epoch', async (t) => {
  const bound = openingBound(4, 1);
  const at = (u: bigint): Element => [GR128.word(u), 0n, 0n, 0n];
  for (const value of [0n, 1n, 15n]) {
    for (const off of [bound, -bound]) t.same(readBlocks([at(value * DELTA + off)], 1, bound), [value], `${value}`);
    for (const off of [bound + 1n, -bound - 1n]) t.equal(readBlocks([at(value * DELTA + off)], 1, bound), undefined);
  }
  t.equal(readBlocks([at(16n * DELTA)], 1, bound), undefined, 'the padding bit');
  t.equal(readBlocks([[DELTA, DELTA, 0n, 0n]], 1, bound), undefined, 'a filler that is not zero');
  t.same(readBlocks([[DELTA, DELTA, 0n, 0n]], 2, bound), [1n, 1n]);
});

t.test('parties with keys of another epoch are liars, and with more than t of them nothing opens', async (t) => {
  const key = randomKey(SIZE);
  const shares = shareKey(key, 4, 1);
  const ciphertext = expanded(key, [3n, 4n]);
  const [now, before] = [setUps(4, 1), setUps(4, 1)];
  const answersWith = (stale: number): Element[][] =>
    now.map((own, i) =>
      partialDecrypt(shares[i] ?? [], (i < stale ? before[i] : own) ?? own, NAMES, 'squash', ciphertext),
    );
  t.same(readBlocks(open(answersWith(1), 1, 1) ?? [], 2, openingBound(4, 1)), [3n, 4n]);
  t.equal(open(answersWith(2), 1, 1), undefined);
});

t.test('a sharing of one key set with one mask key differing opens, if at all, within the check', async (t) => {
  // Every party of one set has another key than it should: a consistent codeword, a mask all the same.
  const sets = keyedSets(4, 1);
  const key = randomKey(SIZE);
  const shares = shareKey(key, 4, 1);
  const ciphertext = expanded(key, [5n]);
  const changed = sets.map((entry, i) => (i === 0 ? { ...entry, key: entry.key.map((byte) => byte ^ 1) } : entry));
  const answers = setUps(4, 1, changed).map((own, i) =>
    partialDecrypt(shares[i] ?? [], own, NAMES, 'squash', ciphertext),
  );
  t.same(readBlocks(open(answers, 1, 0) ?? [], 1, openingBound(4, 1)), [5n]);
});

t.test('rounding is the published one for every value in reach of the noise', async (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 15n }), fc.bigInt({ min: -DELTA / 2n, max: DELTA / 2n - 1n }), (m, e) => {
      t.equal(roundBlock(GR128.word(m * DELTA + e)), m);
    }),
  );
  t.equal(roundBlock(GR128.modulus - 1n), 0n, 'small negative noise around zero');
  t.equal(roundBlock(GR128.modulus - DELTA), 0n);
  t.equal(roundBlock(GR128.modulus - 1n - DELTA), 15n, 'one farther no longer counts as noise');
});

t.test('blocks are recomposed low first and truncated to the type', async (t) => {
  t.equal(recompose([0x1n, 0x2n], 8), 0x21n);
  t.equal(recompose([0x3n], 1), 1n);
  t.equal(recompose([0xfn, 0xfn, 0xfn, 0xfn, 1n], 16), 0xffffn);
  t.equal(recompose([], 64), 0n);
});
