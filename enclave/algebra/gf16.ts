/**
 * GF(16) with X⁴ + X + 1, the residue field of our rings: bit i of a number is the coefficient of X^i
 * (threshold-protocols §1.1 to §1.3).
 */
import { KmsError } from '../../common/errors.ts';
import type { Element } from './galois-ring.ts';

/** Elements of the field; also the length of the exceptional sequence. */
export const FIELD_SIZE = 16;
/** X, which generates the multiplicative group. */
const GENERATOR = 2;

/** Sum and difference. */
export const gf16Add = (a: number, b: number): number => a ^ b;

/** Product, bit by bit: X⁴ = X + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let shifted = a, rest = b; rest !== 0; rest >>= 1) {
    if (rest & 1) product ^= shifted;
    shifted = (shifted << 1) ^ (shifted & 8 ? 0b10011 : 0);
  }
  return product;
}

const PRODUCTS = Uint8Array.from({ length: FIELD_SIZE ** 2 }, (_, i) => multiply(i >> 4, i & 15));

/** Product, out of a table. */
export const gf16Mul = (a: number, b: number): number => PRODUCTS[(a << 4) | b] ?? 0;

/** a^n for n ≥ 0. */
export function gf16Pow(a: number, n: number): number {
  let power = 1;
  for (let i = 0; i < n; i++) power = gf16Mul(power, a);
  return power;
}

/** Inverse: a^14, since the group has 15 elements. @throws {@link KmsError} `REQUEST_INVALID` for zero. */
export function gf16Invert(a: number): number {
  if (a === 0) throw new KmsError('REQUEST_INVALID', 'zero has no inverse');
  return gf16Pow(a, FIELD_SIZE - 2);
}

/** Tr(a) = a + a² + a⁴ + a⁸, 0 or 1. */
export const gf16Trace = (a: number): number => a ^ gf16Pow(a, 2) ^ gf16Pow(a, 4) ^ gf16Pow(a, 8);

/** All non-zero elements as powers of the generator: g⁰ to g¹⁴. */
export const GF16_POWERS: readonly number[] = Array.from({ length: FIELD_SIZE - 1 }, (_, i) => gf16Pow(GENERATOR, i));

/** Reduces a ring element modulo 2. */
export const residue = (a: Element): number => a.reduce((bits, word, i) => bits | (Number(word & 1n) << i), 0);

/** Lifts a field element coefficient-wise: the coefficients are its bits, 0 or 1. */
export const lift = (a: number): Element => {
  const bit = (i: number): bigint => BigInt((a >> i) & 1);
  return [bit(0), bit(1), bit(2), bit(3)];
};
