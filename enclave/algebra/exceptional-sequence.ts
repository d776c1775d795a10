/**
 * Points of the ring whose differences are units, and inverses (threshold-protocols §1.2). All public.
 */
import { KmsError } from '../../common/errors.ts';
import type { Element, GaloisRing } from './galois-ring.ts';
import { FIELD_SIZE, GF16_POWERS, gf16Invert, lift, residue } from './gf16.ts';

/** Parties that there are points for, besides the secret's. */
export const MAX_PARTIES: number = FIELD_SIZE - 1;

/**
 * Returns e(i): the element whose coefficients are the binary digits of i. Party i owns α_i = e(i); e(0) = 0 is the
 * secret's point.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if `i` is not in 0 … 15.
 * @example
 * point(6); // X + X²: [0n, 1n, 1n, 0n]
 */
export function point(i: number): Element {
  if (!Number.isInteger(i) || i < 0 || i >= FIELD_SIZE) {
    throw new KmsError('REQUEST_INVALID', `the exceptional sequence has the points 0 to ${MAX_PARTIES}`, { point: i });
  }
  return lift(i);
}

/** The second list, for challenges: [g⁰, …, g¹⁴, 0], lifted. */
export const CHALLENGE_POINTS: readonly Element[] = [...GF16_POWERS, 0].map(lift);

/** Returns whether an element has an inverse: whether it is not zero modulo 2. */
export const isUnit = (a: Element): boolean => residue(a) !== 0;

/**
 * Inverse: that of the residue, lifted, then Newton steps x ← x(2 - ax), each of which doubles the precision.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if `a` is no unit.
 */
export function invert(ring: GaloisRing, a: Element): Element {
  let x = lift(gf16Invert(residue(a)));
  for (let precision = 1; precision < ring.bits; precision *= 2) {
    x = ring.mul(x, ring.sub(ring.scalar(2n), ring.mul(a, x)));
  }
  return x;
}
