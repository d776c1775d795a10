/**
 * Four scalars in one element: Σ p_j·X^j. On shares too, since multiplying by the public X^j keeps the degree
 * (threshold-protocols §1.6, §3.4).
 */
import { DEGREE, type Element, type GaloisRing, mapElement } from './galois-ring.ts';

/** Packs elements in groups of four: Σ_{j<4} p_{4e+j}·X^j. @throws RangeError unless all groups are full. */
export function pack(ring: GaloisRing, elements: readonly Element[]): Element[] {
  if (elements.length % DEGREE !== 0) throw new RangeError('groups are always full');
  return Array.from({ length: elements.length / DEGREE }, (_, e) => {
    const group = elements.slice(e * DEGREE, (e + 1) * DEGREE);
    return ring.sum(group.map((p, j) => ring.mul(p, power(j))));
  });
}

/** Reads the scalars of opened elements: coefficient j of element e is scalar 4e + j. */
export function unpack(elements: readonly Element[]): bigint[] {
  return elements.flatMap((element) => [...element]);
}

/** Whether an opened element is a scalar, as a sharing of one must give when it is opened unpacked. */
export const isScalar = (element: Element): boolean => element.slice(1).every((word) => word === 0n);

/** X^j, j < 4. */
const power = (j: number): Element => mapElement([0n, 0n, 0n, 0n], (_, i) => (i === j ? 1n : 0n));
