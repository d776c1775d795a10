/** Pseudorandom sharings: what the parties compute alone is a sharing, of the value that it should be. */
import { createCipheriv } from 'node:crypto';
import { blake3 } from '@noble/hashes/blake3.js';
import t from 'tap';
import { concatBytes, toHex } from '../../../common/bytes.ts';
import { point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { prssShare, przsShare } from '../../../enclave/algebra/prss.ts';
import { setPolynomialAt, setsOf } from '../../../enclave/algebra/prss-sets.ts';
import { decodeWord } from '../../../enclave/algebra/ring-encoding.ts';
import { openCodeword } from '../../../enclave/algebra/robust-decoding.ts';
import { chi, derivePrfKey, prssDigest, psi } from '../../../enclave/algebra/set-prf.ts';
import { QUORUMS } from './arbitraries.ts';
import { keyedSets, setUps } from './set-ups.ts';

const SESSION = new Uint8Array(32).fill(7);
const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

t.test('sets are all (n - t)-subsets in lexicographic order', async (t) => {
  t.same(setsOf(4, 1), [
    [1, 2, 3],
    [1, 2, 4],
    [1, 3, 4],
    [2, 3, 4],
  ]);
  for (const [n, threshold, count, held] of [
    [7, 2, 21, 15],
    [10, 3, 120, 84],
    [13, 4, 715, 495],
  ] as const) {
    const sets = setsOf(n, threshold);
    t.equal(sets.length, count);
    for (let party = 1; party <= n; party++) t.equal(sets.filter((set) => set.includes(party)).length, held);
    const names = sets.map((set) => set.map((party) => String.fromCharCode(64 + party)).join(''));
    t.same(names, [...names].sort());
    t.equal(new Set(names).size, count);
  }
  for (const [n, threshold] of [
    [3, 1],
    [16, 1],
    [15, 5],
    [4, -12],
  ] as const) {
    t.throws(() => setsOf(n, threshold), { code: 'REQUEST_INVALID' }, `${n} ${threshold}`);
  }
});

t.test('the polynomial of a set has degree t, is one at zero and zero outside of the set', async (t) => {
  for (const [n, threshold] of QUORUMS.slice(0, 3)) {
    for (const set of setsOf(n, threshold)) {
      t.same(setPolynomialAt(GR128, n, set, GR128.zero), GR128.one);
      const values = Array.from({ length: n }, (_, i) => setPolynomialAt(GR128, n, set, point(i + 1)));
      t.ok(values.every((value, i) => set.includes(i + 1) !== GR128.equals(value, GR128.zero)));
      t.same(openCodeword(GR128, threshold, new Map(values.map((value, i) => [i + 1, value]))), GR128.one);
    }
  }
});

t.test('PRSS shares are of degree t and of the sum of the sets’ values', async (t) => {
  for (const ring of [GR64, GR128]) {
    for (const [n, threshold] of QUORUMS.slice(0, 3)) {
      const sets = keyedSets(n, threshold);
      const digest = prssDigest('psi', SESSION);
      const shares = new Map(setUps(n, threshold, sets).map((own) => [own.party, prssShare(ring, own, SESSION, 5n)]));
      const value = ring.sum(sets.map(({ key }) => psi(ring, derivePrfKey(key, digest), 5n)));
      t.same(openCodeword(ring, threshold, shares), value, `${n}`);
    }
  }
});

t.test('PRZS shares are of degree 2t, not less, and of zero', async (t) => {
  for (const [n, threshold] of QUORUMS.slice(0, 3)) {
    const shares = new Map(setUps(n, threshold).map((own) => [own.party, przsShare(GR128, own, SESSION, 5n)]));
    t.same(openCodeword(GR128, 2 * threshold, shares), GR128.zero, `${n}`);
    t.equal(openCodeword(GR128, 2 * threshold - 1, shares), undefined);
  }
});

t.test('values differ by session, family, counter, coefficient and index', async (t) => {
  const all = new Set<bigint>();
  let count = 0;
  for (const session of [SESSION, SESSION.with(31, 0), SESSION.with(0, 0)]) {
    for (const counter of [0n, 1n, 255n, 256n, 2n ** 100n]) {
      const values = [
        psi(GR128, derivePrfKey(KEY, prssDigest('psi', session)), counter),
        ...[1, 2].map((j) => chi(GR128, derivePrfKey(KEY, prssDigest('chi', session)), counter, j)),
      ];
      for (const word of values.flat()) {
        all.add(word);
        count++;
      }
    }
  }
  t.equal(all.size, count);
});

t.test('keys and blocks are exactly as specified', async (t) => {
  const aes = (cipher: string, key: Uint8Array, block: Uint8Array): Buffer =>
    createCipheriv(cipher, key, null).setAutoPadding(false).update(block);
  const digest = blake3(concatBytes(Buffer.from('arca-prss-1'), Uint8Array.of(1), SESSION));
  t.equal(toHex(prssDigest('chi', SESSION)), toHex(digest));
  const first = aes('aes-256-ecb', KEY, digest.subarray(0, 16));
  const prfKey = aes(
    'aes-256-ecb',
    KEY,
    Uint8Array.from(first, (byte, i) => byte ^ (digest[16 + i] ?? 0)),
  );
  t.equal(toHex(derivePrfKey(KEY, digest)), toHex(prfKey));
  // Counter 0x0102, coefficient 3 in byte 14, j = 2 in byte 13.
  const block = Uint8Array.from([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0]);
  t.equal(chi(GR128, prfKey, 0x0102n, 2)[3], decodeWord(aes('aes-128-ecb', prfKey, block)));
  t.equal(chi(GR64, prfKey, 0x0102n, 2)[3], decodeWord(aes('aes-128-ecb', prfKey, block).subarray(0, 8)));
});
