/**
 * The sets of a pseudorandom secret sharing, and their polynomials (threshold-protocols §2.7). All public.
 */
import { KmsError } from '../../common/errors.ts';
import { invert, MAX_PARTIES, point } from './exceptional-sequence.ts';
import type { Element, GaloisRing } from './galois-ring.ts';

/** Most sets that a set-up has. */
const MAX_SETS = 2047;

/**
 * Returns the (n - t)-subsets of the parties 1 to n in lexicographic order, members ascending.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` unless 3t < n ≤ 15 and there are at most 2047 sets.
 * @example
 * setsOf(4, 1); // [[1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]]
 */
export function setsOf(n: number, t: number): number[][] {
  if (t < 0 || !(3 * t < n) || n > MAX_PARTIES)
    throw new KmsError('REQUEST_INVALID', `needs 0 ≤ 3t < n ≤ ${MAX_PARTIES}`, { n, t });
  const extend = (set: readonly number[], from: number): number[][] => {
    if (set.length === n - t) return [[...set]];
    const members = Array.from({ length: n - from + 1 }, (_, i) => from + i);
    return members.flatMap((member) => extend([...set, member], member + 1));
  };
  const sets = extend([], 1);
  if (sets.length > MAX_SETS) throw new KmsError('REQUEST_INVALID', `a set-up has at most ${MAX_SETS} sets`, { n, t });
  return sets;
}

/** f_A(x) of degree t: 1 at zero, 0 at every party of 1 to n outside of the set A. */
export function setPolynomialAt(ring: GaloisRing, n: number, set: readonly number[], x: Element): Element {
  const outside = Array.from({ length: n }, (_, i) => i + 1).filter((party) => !set.includes(party));
  return outside
    .map((party) => ring.mul(ring.sub(point(party), x), invert(ring, point(party))))
    .reduce(ring.mul, ring.one);
}
