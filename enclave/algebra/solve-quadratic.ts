/**
 * Roots of x² + x = v, and random bits from them (threshold-protocols §1.3, §4.3).
 */
import { invert } from './exceptional-sequence.ts';
import type { Element, GaloisRing } from './galois-ring.ts';
import { gf16Add, gf16Mul, gf16Pow, gf16Trace, lift, residue } from './gf16.ts';

/** An element of trace one. */
const DELTA = 9;

/**
 * A root over GF(16): Σ_{i=0}^{2} (Σ_{j=i+1}^{3} δ^{2^j})·v^{2^i}.
 *
 * @returns undefined if Tr(v) = 1: then there is none. The other root is 1 + x.
 */
export function solveField(v: number): number | undefined {
  if (gf16Trace(v) !== 0) return undefined;
  const sum = (terms: readonly number[]): number => terms.reduce(gf16Add, 0);
  const inner = (i: number): number => sum([1, 2, 3].filter((j) => j > i).map((j) => gf16Pow(DELTA, 2 ** j)));
  return sum([0, 1, 2].map((i) => gf16Mul(inner(i), gf16Pow(v, 2 ** i))));
}

/**
 * A root over the ring: that of the residue, lifted by x ← (x² + v)/(1 + 2x), which doubles the precision.
 *
 * @returns undefined if Tr(v mod 2) = 1. The other root is -1 - x.
 */
export function solveQuadratic(ring: GaloisRing, v: Element): Element | undefined {
  const start = solveField(residue(v));
  if (start === undefined) return undefined;
  let x = lift(start);
  for (let precision = 1; precision < ring.bits; precision *= 2) {
    const slope = ring.add(ring.one, ring.scale(x, 2n));
    x = ring.mul(ring.add(ring.mul(x, x), v), invert(ring, slope));
  }
  return x;
}

/**
 * b = (a - r)/(-1 - 2r), where r is a root of r² + r = v and v = a² + a was opened: 0 or 1, as a is one root or the
 * other. On shares of a it gives shares of b.
 *
 * @returns undefined if v has no root: then v is not a² + a of any a.
 */
export function bitFromSquare(ring: GaloisRing, a: Element, v: Element): Element | undefined {
  const r = solveQuadratic(ring, v);
  if (r === undefined) return undefined;
  const distance = ring.sub(ring.scalar(-1n), ring.scale(r, 2n));
  return ring.mul(ring.sub(a, r), invert(ring, distance));
}
