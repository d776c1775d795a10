/**
 * Syndrome decoding: the errors of a word from its syndrome alone, which says nothing else about it. For resharing
 * (threshold-protocols §1.5).
 */
import { invert, point } from './exceptional-sequence.ts';
import type { Element, GaloisRing } from './galois-ring.ts';
import { gf16Invert, gf16Mul, gf16Pow, lift, residue } from './gf16.ts';
import {
  derivative,
  evaluatePolynomial,
  type Polynomial,
  partialEuclid,
  scalePolynomial,
  trim,
  vanishingPolynomial,
} from './gf16-polynomial.ts';

/**
 * S_j = Σ_i c_i·α_i^j / L_i(α_i), 0 ≤ j < n - t - 1, with L_i(α_i) = Π_{k≠i} (α_i - α_k), of a word on α_1 … α_n.
 *
 * All zero if and only if the word is a codeword of degree at most t.
 */
export function syndrome(ring: GaloisRing, word: readonly Element[], t: number): Element[] {
  const parties = word.map((_, i) => i + 1);
  const scaled = word.map((c, i) => {
    const differences = parties
      .filter((k) => k !== i + 1)
      .map((k) => ring.sub(point(i + 1), point(k)))
      .reduce(ring.mul, ring.one);
    return ring.mul(c, invert(ring, differences));
  });
  const powers = word.map(() => ring.one);
  return Array.from({ length: word.length - t - 1 }, () => {
    const sum = ring.sum(scaled.map((c, i) => ring.mul(c, powers[i] ?? ring.zero)));
    powers.forEach((power, i) => {
      powers[i] = ring.mul(power, point(i + 1));
    });
    return sum;
  });
}

/**
 * Finds the error vector of at most ⌊(n - t - 1)/2⌋ entries that has the given syndrome, bit by bit.
 *
 * @returns n elements, zero where there is no error; undefined if there is no such vector.
 */
export function decodeSyndrome(
  ring: GaloisRing,
  syndromes: readonly Element[],
  n: number,
  t: number,
): Element[] | undefined {
  let rest: readonly Element[] = syndromes;
  let errors = new Array<Element>(n).fill(ring.zero);
  for (let bit = 0n; bit < ring.bits && rest.some((s) => !ring.equals(s, ring.zero)); bit++) {
    const field = decodeFieldSyndrome(rest.map(residue), n);
    if (field === undefined) return undefined;
    const step = field.map(lift);
    const own = syndrome(ring, step, t);
    const next = rest.map((s, j) => ring.sub(s, own[j] ?? ring.zero));
    if (next.some((s) => residue(s) !== 0)) return undefined;
    // Divided by two the rest is known to one bit less; what stands in the top bit then no longer matters.
    rest = next.map((s) => ring.element([s[0] >> 1n, s[1] >> 1n, s[2] >> 1n, s[3] >> 1n]));
    errors = errors.map((error, i) => ring.add(error, ring.scale(step[i] ?? ring.zero, 1n << bit)));
  }
  const wrong = errors.filter((error) => !ring.equals(error, ring.zero));
  return wrong.length <= Math.floor((n - t - 1) / 2) ? errors : undefined;
}

/** The same over GF(16): error values at the points 1 … n. */
function decodeFieldSyndrome(syndromes: readonly number[], n: number): number[] | undefined {
  const points = Array.from({ length: n }, (_, i) => i + 1);
  const s = trim(syndromes);
  if (s.length === 0) return points.map(() => 0);
  const r = syndromes.length;
  const { remainder, cofactor } = partialEuclid(scalePolynomial([1], 1, r), s, Math.ceil(r / 2));
  const at0 = cofactor[0] ?? 0;
  if (at0 === 0) return undefined;
  const sigma: Polynomial = scalePolynomial(cofactor, gf16Invert(at0));
  const omega: Polynomial = scalePolynomial(remainder, gf16Invert(at0));
  const slope = derivative(sigma);
  const roots = points.filter((b) => evaluatePolynomial(sigma, gf16Invert(b)) === 0);
  if (roots.some((b) => evaluatePolynomial(slope, gf16Invert(b)) === 0)) return undefined;
  const found = points.map((b) => {
    if (!roots.includes(b)) return 0;
    const x = gf16Invert(b);
    const product = evaluatePolynomial(vanishingPolynomial(points.filter((k) => k !== b)), b);
    const quotient = gf16Mul(evaluatePolynomial(omega, x), gf16Invert(evaluatePolynomial(slope, x)));
    return gf16Mul(gf16Mul(b, product), quotient);
  });
  const again = syndromes.map((_, j) =>
    found.reduce((sum, e, i) => {
      const product = evaluatePolynomial(vanishingPolynomial(points.filter((k) => k !== i + 1)), i + 1);
      return sum ^ gf16Mul(e, gf16Mul(gf16Pow(i + 1, j), gf16Invert(product)));
    }, 0),
  );
  return again.every((value, j) => value === syndromes[j]) ? found : undefined;
}
