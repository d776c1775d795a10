/**
 * TUniform(b) out of b + 2 shared bits: uniform on (-2^b, 2^b), with half the weight on both ends
 * (threshold-protocols §4.4).
 */
import type { Element, GaloisRing } from './galois-ring.ts';

/**
 * e = b_{b+2} - 2^b + Σ_{j=1}^{b+1} b_j·2^{j-1}. Linear, so on shares of the bits it gives shares of e.
 *
 * @param bits - b_1 to b_{b+2}; their number says the bound.
 * @throws RangeError for fewer than two bits.
 */
export function tUniform(ring: GaloisRing, bits: readonly Element[]): Element {
  const top = bits.at(-1);
  if (top === undefined || bits.length < 2) throw new RangeError('TUniform(b) takes b + 2 bits');
  const weighted = bits.slice(0, -1).map((bit, j) => ring.scale(bit, 1n << BigInt(j)));
  return ring.sub(ring.sum([top, ...weighted]), ring.scalar(1n << BigInt(bits.length - 2)));
}
