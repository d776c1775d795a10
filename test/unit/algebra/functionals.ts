/** Linear functionals on ring elements, (Z/2^128)⁴ → Z/2^128, and the mask vectors that they may remove. */
import { point } from '../../../enclave/algebra/exceptional-sequence.ts';
import { type Element, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { residue } from '../../../enclave/algebra/gf16.ts';
import { setPolynomialAt, setsOf } from '../../../enclave/algebra/prss-sets.ts';

/** λ(v) = Σ λ_k·v_k. */
export const apply = (functional: Element, v: Element): bigint =>
  GR128.word(functional.reduce((sum, word, k) => sum + word * (v[k] ?? 0n), 0n));

/** What a party's masks are integer combinations of: f_A(α_i)·X^j over the sets that hold it, j < `masksPerGroup`. */
export function maskVectors(n: number, t: number, party: number, masksPerGroup: number): Element[] {
  const held = setsOf(n, t).filter((set) => set.includes(party));
  return held.flatMap((set) => {
    const vectors = [setPolynomialAt(GR128, n, set, point(party))];
    for (let j = 1; j < masksPerGroup; j++) vectors.push(GR128.mul(vectors[j - 1] ?? GR128.zero, [0n, 1n, 0n, 0n]));
    return vectors;
  });
}

/** Rank modulo 2, by elimination on bit patterns. With rank 4 no functional but zero annihilates: see the page. */
export function rankModulo2(vectors: readonly Element[]): number {
  const basis: number[] = [];
  for (const vector of vectors) {
    const rest = basis.reduce((value, b) => Math.min(value, value ^ b), residue(vector));
    if (rest !== 0) basis.push(rest);
  }
  return basis.length;
}

/** The functional v ↦ det(v, a, b, c), which is zero on a, b and c. */
export function annihilator([a, b, c]: readonly [Element, Element, Element]): Element {
  const minor = (skip: number): bigint => {
    const [x, y, z] = [a, b, c].map((row) => row.filter((_, k) => k !== skip));
    const at = (row: readonly bigint[] | undefined, k: number): bigint => row?.[k] ?? 0n;
    const part = (i: number, j: number, k: number): bigint => at(x, i) * (at(y, j) * at(z, k) - at(y, k) * at(z, j));
    return part(0, 1, 2) - part(1, 0, 2) + part(2, 0, 1);
  };
  return GR128.element([minor(0), -minor(1), minor(2), -minor(3)]);
}

/** Largest coefficient, centred. */
export function sizeOf(v: Element): bigint {
  const sizes = v.map((word) => BigInt.asIntN(128, word)).map((word) => (word < 0n ? -word : word));
  return sizes.sort((a, b) => (a < b ? 1 : -1))[0] ?? 0n;
}
