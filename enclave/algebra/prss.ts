/**
 * Pseudorandom sharings without a message: of random elements, of zero, and of masks (threshold-protocols §2.7, keyed
 * as §3.5 says). Each function gives one party's share out of the keys of the sets that it is in.
 */
import { point } from './exceptional-sequence.ts';
import { type Element, type GaloisRing, GR128 } from './galois-ring.ts';
import { setPolynomialAt } from './prss-sets.ts';
import { chi, derivePrfKey, phi, prssDigest, psi, type SetKey } from './set-prf.ts';

/** A party's part of a set-up. */
export interface SetUp {
  readonly n: number;
  readonly t: number;
  readonly party: number;
  /** The sets that hold the party, in lexicographic order. */
  readonly held: readonly SetKey[];
}

/** Σ_{A∋i} f_A(α_i)·value(r_A). */
function combineSets(ring: GaloisRing, setUp: SetUp, value: (key: Uint8Array) => Element): Element {
  const alpha = point(setUp.party);
  const terms = setUp.held.map(({ set, key }) => ring.mul(setPolynomialAt(ring, setUp.n, set, alpha), value(key)));
  return ring.sum(terms);
}

/** PRSS.Next: share of degree t of a uniform element. A counter is used once in a session. */
export function prssShare(ring: GaloisRing, setUp: SetUp, sessionId: Uint8Array, counter: bigint): Element {
  const digest = prssDigest('psi', sessionId);
  return combineSets(ring, setUp, (key) => psi(ring, derivePrfKey(key, digest), counter));
}

/** PRZS.Next: share of degree 2t of zero, Σ_A f_A(α_i)·Σ_{j=1}^{t} χ_A(counter, j)·α_i^j. */
export function przsShare(ring: GaloisRing, setUp: SetUp, sessionId: Uint8Array, counter: bigint): Element {
  const digest = prssDigest('chi', sessionId);
  const alpha = point(setUp.party);
  return combineSets(ring, setUp, (key) => {
    const prfKey = derivePrfKey(key, digest);
    // Horner: α(χ_1 + α(χ_2 + …)).
    let value = ring.zero;
    for (let j = setUp.t; j >= 1; j--) value = ring.mul(ring.add(value, chi(ring, prfKey, counter, j)), alpha);
    return value;
  });
}

/**
 * Share of block j's mask, Σ_A (φ_A(2j) + φ_A(2j + 1)): an integer of magnitude at most 2·C(n, t)·2^110.
 *
 * For `partialDecrypt` and tests of masks; the native engine has no such function of its own.
 *
 * @param digest - D of what the mask hides, see mask-digest.ts.
 */
export function maskShare(setUp: SetUp, digest: Uint8Array, block: number): Element {
  return combineSets(GR128, setUp, (key) => {
    const prfKey = derivePrfKey(key, digest);
    return GR128.scalar(phi(prfKey, BigInt(2 * block)) + phi(prfKey, BigInt(2 * block + 1)));
  });
}
