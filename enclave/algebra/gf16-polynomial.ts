/**
 * Polynomials over GF(16), constant term first, without leading zeros: [] is zero. For the decoders.
 */
import { gf16Invert, gf16Mul } from './gf16.ts';

/** Coefficients, constant term first; the last one is not zero. */
export type Polynomial = readonly number[];

/** Drops leading zeros. */
export function trim(f: Polynomial): Polynomial {
  return f.at(-1) === 0 ? f.slice(0, f.findLastIndex((coefficient) => coefficient !== 0) + 1) : f;
}

/** Degree; that of zero is -1. */
export const degreeOf = (f: Polynomial): number => f.length - 1;

/** f + g; in characteristic 2 the difference too. */
export function addPolynomials(f: Polynomial, g: Polynomial): Polynomial {
  const [longer, shorter] = f.length > g.length ? [f, g] : [g, f];
  const sum = longer.slice();
  for (const [i, coefficient] of shorter.entries()) sum[i] = (sum[i] ?? 0) ^ coefficient;
  return trim(sum);
}

/** c·Z^shift·f. */
export function scalePolynomial(f: Polynomial, c: number, shift = 0): Polynomial {
  const scaled = new Array<number>(shift + f.length).fill(0);
  for (const [i, coefficient] of f.entries()) scaled[shift + i] = gf16Mul(coefficient, c);
  return trim(scaled);
}

/** f·g. */
export function multiplyPolynomials(f: Polynomial, g: Polynomial): Polynomial {
  return f.reduce<Polynomial>((sum, c, shift) => addPolynomials(sum, scalePolynomial(g, c, shift)), []);
}

/** Quotient and remainder of f by g. @throws {@link KmsError} `REQUEST_INVALID` if g is zero. */
export function dividePolynomials(f: Polynomial, g: Polynomial): { quotient: Polynomial; remainder: Polynomial } {
  const inverse = gf16Invert(g.at(-1) ?? 0);
  let remainder = f;
  let quotient: Polynomial = [];
  while (remainder.length >= g.length) {
    const shift = remainder.length - g.length;
    const c = gf16Mul(remainder.at(-1) ?? 0, inverse);
    quotient = addPolynomials(quotient, scalePolynomial([1], c, shift));
    remainder = addPolynomials(remainder, scalePolynomial(g, c, shift));
  }
  return { quotient, remainder };
}

/** f(x), by Horner's rule. */
export function evaluatePolynomial(f: Polynomial, x: number): number {
  return f.reduceRight((value, coefficient) => gf16Mul(value, x) ^ coefficient, 0);
}

/** Formal derivative: in characteristic 2 only the odd powers stay. */
export function derivative(f: Polynomial): Polynomial {
  return trim(f.slice(1).map((coefficient, i) => (i % 2 === 0 ? coefficient : 0)));
}

/** Π (Z - x) over the points. */
export function vanishingPolynomial(points: readonly number[]): Polynomial {
  return points.reduce<Polynomial>((product, x) => multiplyPolynomials([x, 1], product), [1]);
}

/** The polynomial of degree below the number of points that has the given values there; the points are distinct. */
export function interpolatePolynomial(points: readonly number[], values: readonly number[]): Polynomial {
  return points.reduce<Polynomial>((sum, x, i) => {
    const basis = vanishingPolynomial(points.filter((y) => y !== x));
    const weight = gf16Mul(values[i] ?? 0, gf16Invert(evaluatePolynomial(basis, x)));
    return addPolynomials(sum, scalePolynomial(basis, weight));
  }, []);
}

/**
 * The extended Euclidean algorithm on (f, g), stopped at the first remainder of degree below `below`.
 *
 * @returns `remainder` = cofactor·g modulo f, and that cofactor.
 */
export function partialEuclid(
  f: Polynomial,
  g: Polynomial,
  below: number,
): { remainder: Polynomial; cofactor: Polynomial } {
  let [before, remainder] = [f, g];
  let [cofactorBefore, cofactor]: [Polynomial, Polynomial] = [[], [1]];
  while (degreeOf(remainder) >= below) {
    const step = dividePolynomials(before, remainder);
    [before, remainder] = [remainder, step.remainder];
    [cofactorBefore, cofactor] = [
      cofactor,
      addPolynomials(cofactorBefore, multiplyPolynomials(step.quotient, cofactor)),
    ];
  }
  return { remainder, cofactor };
}
