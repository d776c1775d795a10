/**
 * Reed–Solomon decoding over GF(16) by Gao's method (threshold-protocols §1.4). Absent parties are erasures: their
 * points are simply not given.
 */
import {
  degreeOf,
  dividePolynomials,
  evaluatePolynomial,
  interpolatePolynomial,
  type Polynomial,
  partialEuclid,
  vanishingPolynomial,
} from './gf16-polynomial.ts';

/**
 * Returns the polynomial of degree at most `degree` that misses at most `maxErrors` of the values, or undefined.
 *
 * There is at most one when points ≥ degree + 1 + 2·maxErrors; with fewer points nothing is returned.
 *
 * @param points - Distinct elements of the field.
 */
export function decodeField(
  points: readonly number[],
  values: readonly number[],
  degree: number,
  maxErrors: number,
): Polynomial | undefined {
  if (maxErrors < 0 || points.length < degree + 1 + 2 * maxErrors) return undefined;
  const g0 = vanishingPolynomial(points);
  const g1 = interpolatePolynomial(points, values);
  // Degree of the remainder below (n' + v + 1) / 2: the smallest integer that is not below is its ceiling.
  const { remainder, cofactor } = partialEuclid(g0, g1, Math.ceil((points.length + degree + 1) / 2));
  const result = dividePolynomials(remainder, cofactor);
  if (result.remainder.length > 0 || degreeOf(result.quotient) > degree) return undefined;
  const misses = points.filter((x, i) => evaluatePolynomial(result.quotient, x) !== values[i]);
  return misses.length <= maxErrors ? result.quotient : undefined;
}
