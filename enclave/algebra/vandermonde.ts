/**
 * Extraction of randomness: n - t outputs that are uniform if at most t of the n inputs are adversarial
 * (threshold-protocols §1.6).
 */
import { point } from './exceptional-sequence.ts';
import type { Element, GaloisRing } from './galois-ring.ts';

/** Σ_i contributions_i·α_i^k for 0 ≤ k < n - t; `contributions[i]` is party i + 1's. */
export function extract(ring: GaloisRing, contributions: readonly Element[], t: number): Element[] {
  const terms = [...contributions];
  return Array.from({ length: contributions.length - t }, () => {
    const sum = ring.sum(terms);
    terms.forEach((term, i) => {
      terms[i] = ring.mul(term, point(i + 1));
    });
    return sum;
  });
}
