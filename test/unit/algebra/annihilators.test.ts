/**
 * What a masked share says about a party's share of the key, by exact computation (docs/security/decryption-masks.md):
 * no linear equation when groups are full, one an answer when they are filled with zeros at (4, 1); and its high bits.
 */
import fc from 'fast-check';
import t from 'tap';
import { partialDecrypt, phaseShare } from '../../../enclave/algebra/decryption.ts';
import { isUnit } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, GR128, mapElement } from '../../../enclave/algebra/galois-ring.ts';
import { maskDigest } from '../../../enclave/algebra/mask-digest.ts';
import { maskShare } from '../../../enclave/algebra/prss.ts';
import type { Squashed } from '../../../enclave/algebra/squashed-ciphertext.ts';
import { present } from '../../helpers/present.ts';
import { QUORUMS, randomElement } from './arbitraries.ts';
import { encryptSample, NAMES, randomKey, shareKey } from './ciphertexts.ts';
import { annihilator, apply, maskVectors, rankModulo2, sizeOf } from './functionals.ts';
import { setUps } from './set-ups.ts';

const parties = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
const SMALL = 1n << 16n;

t.test('no functional annihilates the mask vectors of a full group, at any party of any quorum', async (t) => {
  for (const [n, threshold] of QUORUMS) {
    for (const party of parties(n)) {
      const full = maskVectors(n, threshold, party, 4);
      // λ = 2^k·μ with μ not zero modulo 2: were λ zero on all vectors, μ would be zero modulo 2 on a basis.
      t.equal(rankModulo2(full), 4, `${n} parties, party ${party}`);
    }
  }
});

t.test('functionals of size below 2^16 leave something of every full group', async (t) => {
  const functional = fc.tuple(...[0, 1, 2, 3].map(() => fc.bigInt({ min: -SMALL, max: SMALL })));
  for (const [n, threshold] of QUORUMS.slice(0, 2)) {
    for (const party of parties(n)) {
      const full = maskVectors(n, threshold, party, 4);
      fc.assert(
        fc.property(functional, ([a = 0n, b = 0n, c = 0n, d = 0n]) => {
          const lambda = GR128.element([a, b, c, d]);
          return GR128.equals(lambda, GR128.zero) || full.some((v) => apply(lambda, v) !== 0n);
        }),
        { numRuns: 30 },
      );
    }
  }
  t.pass('a property a party');
});

t.test('four masks make the low 111 bits of all four words uniform: every weight is a unit', async (t) => {
  // c_0 … c_3 of one unknown set are uniform modulo 2^111, and (c_j) ↦ f·Σ c_j·X^j is a bijection for a unit f.
  for (const [n, threshold] of QUORUMS) {
    for (const party of parties(n)) {
      t.ok(maskVectors(n, threshold, party, 1).every(isUnit), `${n} parties, party ${party}`);
    }
  }
});

t.test('with zeros for fillers one small functional annihilates the masks at (4, 1), and none elsewhere', async (t) => {
  for (const party of parties(4)) {
    const [a, b, c] = maskVectors(4, 1, party, 1);
    const vectors = [present(a), present(b), present(c)] as const;
    const lambda = annihilator(vectors);
    t.ok(sizeOf(lambda) > 0n && sizeOf(lambda) < SMALL, `party ${party}: ${sizeOf(lambda)}`);
    t.same(
      vectors.map((v) => apply(lambda, v)),
      [0n, 0n, 0n],
    );
  }
  for (const [n, threshold] of QUORUMS.slice(1)) {
    for (const party of parties(n)) t.equal(rankModulo2(maskVectors(n, threshold, party, 1)), 4, `${n}, ${party}`);
  }
});

t.test('so an answer that is filled with zeros is an exact equation in the share, and ours is none', async (t) => {
  const key = randomKey(8);
  const shares = shareKey(key, 4, 1);
  const ups = setUps(4, 1);
  for (const party of parties(4)) {
    const [own, share] = [present(ups[party - 1]), present(shares[party - 1])];
    const [a, b, c] = maskVectors(4, 1, party, 1);
    const lambda = annihilator([present(a), present(b), present(c)]);
    const sample = encryptSample(key, 1n);
    const ciphertext: Squashed = { format: 'BigExpanded', samples: [sample] };
    const phase = phaseShare(share, sample);
    const zeroFilled = GR128.add(phase, maskShare(own, maskDigest(NAMES, 'squash', ciphertext), 0));
    t.equal(apply(lambda, zeroFilled), apply(lambda, phase), `party ${party}: λ(b - ⟨a, s⟩) in clear`);
    const [full] = partialDecrypt(share, own, NAMES, 'squash', ciphertext);
    t.not(apply(lambda, present(full)), apply(lambda, phase), `party ${party}, full group`);
  }
});

t.test('a masked share at (4, 1) is within 2^115 of the share that it masks: it is no uniform element', async (t) => {
  // Weights are units of Z[X]/(X⁴ + X + 1) there, so shares of small masks are small. Not so where points have norms
  // 3, 5 and 9; multiplied by these denominators they are small again.
  for (const party of parties(4)) {
    const full = maskVectors(4, 1, party, 4);
    t.ok(
      full.every((v) => sizeOf(v) <= 2n),
      `party ${party}`,
    );
    for (const k of [0, 1, 2, 3]) {
      const rowSum = full.reduce((sum, v) => sum + sizeOf([v[k] ?? 0n, 0n, 0n, 0n]), 0n);
      t.ok(rowSum * (1n << 111n) < 1n << 115n, `word ${k}: ${rowSum} masks of at most 2^111`);
    }
  }
  for (const [n, threshold, denominator, bound] of [
    [7, 2, 15n, 1n << 8n],
    [10, 3, 75n, 1n << 12n],
  ] as const) {
    for (const party of parties(n)) {
      const scaled = maskVectors(n, threshold, party, 4).map((v) => sizeOf(GR128.scale(v, denominator)));
      t.ok(
        scaled.every((size) => size < bound),
        `${n} parties, party ${party}`,
      );
    }
  }
});

t.test(
  'eleven chosen ciphertexts read one coordinate of a share off the high bits, whatever fills the group',
  async (t) => {
    // The limit of masks that are integers: authorization keeps chosen ciphertexts out, not the mask.
    const secret = randomElement(GR128);
    const [own] = setUps(4, 1);
    let known: Element = GR128.zero;
    let queries = 0;
    for (let bits = 0n; bits < 128n; bits += 12n, queries++) {
      // The answer is -s·factor + mask: below the bits that are known already, 12 more stand over the mask.
      const shift = bits < 116n ? 116n - bits : 0n;
      const factor = 1n << shift;
      const ciphertext: Squashed = { format: 'BigExpanded', samples: [{ mask: [factor], body: 0n }] };
      const [answer] = partialDecrypt([secret], present(own), NAMES, 'squash', ciphertext);
      const rest = GR128.add(present(answer), GR128.scale(known, factor));
      const place = bits + shift;
      const step = mapElement(rest, (word) => (GR128.word((1n << (place - 1n)) - word) >> place) << bits);
      known = GR128.add(known, step);
    }
    t.equal(queries, 11);
    t.same(known, secret);
  },
);
