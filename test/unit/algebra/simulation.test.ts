/**
 * What t parties and all users see of a decryption (docs/security/decryption-masks.md, section 5): it follows from
 * their shares and the opened values, and fits every other key.
 */
import t from 'tap';
import { systemRandom } from '../../../common/random.ts';
import { phaseShare } from '../../../enclave/algebra/decryption.ts';
import { invert, point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { setPolynomialAt, setsOf } from '../../../enclave/algebra/prss-sets.ts';
import { decodeWord } from '../../../enclave/algebra/ring-encoding.ts';
import { dot, interpolate, lagrange } from '../../../enclave/algebra/shamir.ts';
import { present } from '../../helpers/present.ts';
import { encryptSample, randomKey, shareKey } from './ciphertexts.ts';

/** A mask of each set: the sum of two values in [-2^110, 2^110). */
const drawMasks = (n: number, threshold: number): bigint[] =>
  setsOf(n, threshold).map(() => {
    const phi = (): bigint => BigInt.asUintN(111, decodeWord(systemRandom(16))) - (1n << 110n);
    return phi() + phi();
  });

/** b - ⟨a, s_i⟩ + Σ_A f_A(α_i)·c_A of every party. */
function answersOf(n: number, threshold: number, phases: readonly Element[], masks: readonly bigint[]): Element[] {
  const sets = setsOf(n, threshold);
  return phases.map((phase, i) => {
    const weighted = sets.map((set, rank) =>
      GR128.scale(setPolynomialAt(GR128, n, set, point(i + 1)), masks[rank] ?? 0n),
    );
    return GR128.add(phase, GR128.sum(weighted));
  });
}

for (const [n, threshold] of [
  [4, 1],
  [7, 2],
  [10, 3],
] as const) {
  const key = randomKey(6);
  const shares = shareKey(key, n, threshold);
  const sample = encryptSample(key, 11n);
  const masks = drawMasks(n, threshold);
  const phases = shares.map((own) => phaseShare(own, sample));
  const answers = answersOf(n, threshold, phases, masks);
  const all = new Map(answers.map((answer, i) => [i + 1, answer]));
  const opened = interpolate(GR128, all);

  t.test(`${n} parties: all answers follow from those of any ${threshold} and the opened value`, async (t) => {
    for (let start = 0; start < n; start++) {
      const held = Array.from({ length: threshold }, (_, k) => ((start + k) % n) + 1);
      for (let party = 1; party <= n; party++) {
        // Through zero and the held parties' points: f_A for the opened value, x/α_i times the usual weight for a share.
        const x = point(party);
        const others = Array.from({ length: n }, (_, i) => i + 1).filter((i) => !held.includes(i));
        const fromOpened = GR128.mul(setPolynomialAt(GR128, n, others, x), opened);
        const weights = lagrange(GR128, held, x).map((weight, k) =>
          GR128.mul(weight, GR128.mul(x, invert(GR128, point(held[k] ?? 0)))),
        );
        const predicted = GR128.add(
          fromOpened,
          dot(
            GR128,
            weights,
            held.map((i) => present(all.get(i))),
          ),
        );
        t.ok(GR128.equals(predicted, present(all.get(party))), `party ${party} from ${held}`);
      }
    }
  });

  t.test(`${n} parties: any other key fits what ${threshold} of them and all users see`, async (t) => {
    const held = Array.from({ length: threshold }, (_, k) => 2 * k + 1);
    const sets = setsOf(n, threshold);
    const unknown = sets.findIndex((set) => held.every((party) => !set.includes(party)));
    const others = randomKey(key.length);
    const change = others.map((bit, k) => bit - (key[k] ?? 0n));
    // Shares of the other key, the same at the held parties: f_A is zero there for the one set A without them.
    const weightAt = (party: number): Element => setPolynomialAt(GR128, n, present(sets[unknown]), point(party));
    const otherShares = shares.map((own, i) =>
      own.map((element, k) => GR128.add(element, GR128.scale(weightAt(i + 1), change[k] ?? 0n))),
    );
    for (const party of held) t.same(otherShares[party - 1], shares[party - 1], `the share of party ${party}`);
    const openedKey = others.map((_, k) =>
      interpolate(GR128, new Map(otherShares.map((own, i) => [i + 1, present(own[k])]))),
    );
    t.same(
      openedKey,
      others.map((bit) => GR128.scalar(bit)),
      'they are shares of the other key',
    );
    const difference = sample.mask.reduce((sum, a, k) => sum + a * (change[k] ?? 0n), 0n);
    const otherMasks = masks.with(unknown, (masks[unknown] ?? 0n) + difference);
    const otherPhases = otherShares.map((own) => phaseShare(own, sample));
    t.same(answersOf(n, threshold, otherPhases, otherMasks), answers, 'all answers are the same');
  });
}
