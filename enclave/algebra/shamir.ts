/**
 * Shamir sharings over the ring, and the bivariate ones of verifiable sharing (threshold-protocols §1.4, §2.6).
 *
 * Coefficients and shares are secret; points and weights are public. Randomness comes in as coefficients.
 */
import { KmsError } from '../../common/errors.ts';
import { invert, point } from './exceptional-sequence.ts';
import type { Element, GaloisRing } from './galois-ring.ts';

/** Value of the polynomial with the given coefficients, constant term first, by Horner's rule. */
export function evaluate(ring: GaloisRing, coefficients: readonly Element[], x: Element): Element {
  return coefficients.reduceRight((value, coefficient) => ring.add(ring.mul(value, x), coefficient), ring.zero);
}

/** Shares f(α_1), …, f(α_n) of f(0) = coefficients[0]; the degree is the number of coefficients less one. */
export function share(ring: GaloisRing, coefficients: readonly Element[], n: number): Element[] {
  return Array.from({ length: n }, (_, i) => evaluate(ring, coefficients, point(i + 1)));
}

/**
 * Returns the weights w with f(x) = Σ w_i·f(α_i) for every f of degree below the number of parties.
 *
 * @param parties - Distinct, 1 to 15.
 * @param x - Any point; the secret's by default.
 * @throws {@link KmsError} `REQUEST_INVALID` for parties repeated or out of range.
 */
export function lagrange(ring: GaloisRing, parties: readonly number[], x: Element = ring.zero): Element[] {
  if (new Set(parties).size !== parties.length || parties.includes(0)) {
    throw new KmsError('REQUEST_INVALID', 'needs distinct parties from 1');
  }
  return parties.map((i) =>
    parties
      .filter((j) => j !== i)
      .map((j) => ring.mul(ring.sub(x, point(j)), invert(ring, ring.sub(point(i), point(j)))))
      .reduce(ring.mul, ring.one),
  );
}

/** Σ weights_i · elements_i. */
export function dot(ring: GaloisRing, weights: readonly Element[], elements: readonly Element[]): Element {
  return ring.sum(weights.map((weight, i) => ring.mul(weight, elements[i] ?? ring.zero)));
}

/** Value at `x` of the polynomial of degree below the number of shares that passes through them. */
export function interpolate(ring: GaloisRing, shares: ReadonlyMap<number, Element>, x: Element = ring.zero): Element {
  return dot(ring, lagrange(ring, [...shares.keys()], x), [...shares.values()]);
}

/**
 * What a dealer sends: of F(X, Y) = Σ coefficients[k][l]·X^k·Y^l to party i the polynomials F_i(X) = F(X, α_i) and
 * G_i(Y) = F(α_i, Y), as coefficients. The secret is F(0, 0); F_i(α_j) = G_j(α_i).
 */
export function shareBivariate(
  ring: GaloisRing,
  coefficients: readonly (readonly Element[])[],
  n: number,
): { rows: Element[][]; columns: Element[][] } {
  const parties = Array.from({ length: n }, (_, i) => point(i + 1));
  const inY = (l: number): Element[] => coefficients.map((ofX) => ofX[l] ?? ring.zero);
  return {
    rows: parties.map((alpha) => coefficients.map((ofX) => evaluate(ring, ofX, alpha))),
    columns: parties.map((alpha) => coefficients.map((_, l) => evaluate(ring, inY(l), alpha))),
  };
}
