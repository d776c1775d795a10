/** Random ring elements, sharings and sets of parties for the tests of enclave/algebra. */
import fc from 'fast-check';
import { systemRandom } from '../../../common/random.ts';
import type { Element, GaloisRing } from '../../../enclave/algebra/galois-ring.ts';
import { decodeWord } from '../../../enclave/algebra/ring-encoding.ts';

/** The quorums that the service runs with. */
export const QUORUMS: readonly (readonly [n: number, t: number])[] = [
  [4, 1],
  [7, 2],
  [10, 3],
  [13, 4],
];

/** Words, the extreme ones often. */
const words = (ring: GaloisRing): fc.Arbitrary<bigint> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.bigInt({ min: 0n, max: ring.modulus - 1n }) },
    { weight: 1, arbitrary: fc.constantFrom(0n, 1n, 2n, ring.modulus - 1n, ring.modulus / 2n) },
  );

/** Elements of a ring. */
export const elements = (ring: GaloisRing): fc.Arbitrary<Element> =>
  fc.tuple(words(ring), words(ring), words(ring), words(ring));

/** Elements with an inverse. */
export const units = (ring: GaloisRing): fc.Arbitrary<Element> =>
  elements(ring).filter((element) => element.some((word) => word % 2n === 1n));

/** `count` coefficients of a polynomial. */
export const polynomials = (ring: GaloisRing, count: number): fc.Arbitrary<Element[]> =>
  fc.array(elements(ring), { minLength: count, maxLength: count });

/** `size` distinct ones of the parties 1 to n, in any order. */
export const partySets = (n: number, size: number): fc.Arbitrary<number[]> =>
  fc.shuffledSubarray(
    Array.from({ length: n }, (_, i) => i + 1),
    { minLength: size, maxLength: size },
  );

/** A fresh random element, for tests that need many. */
export function randomElement(ring: GaloisRing): Element {
  const word = (): bigint => ring.word(decodeWord(systemRandom(16)));
  return [word(), word(), word(), word()];
}
