/**
 * The Galois rings GR(2^k, 4) = (Z/2^k)[X]/(X⁴ + X + 1), k = 64 or 128, in plain integers (threshold-protocols §1.1).
 *
 * This folder is the readable twin of the native kernels: it says what they compute, in the specification's words, and
 * tests compare the two. It is neither fast nor constant time, and no program may reach it; a test enforces that.
 */

/** Degree of the extension: coefficients of an element. */
export const DEGREE = 4;

/** Coefficients 0 to 3 of a ring element, each in [0, 2^k). */
export type Element = readonly [bigint, bigint, bigint, bigint];

/** The base ring Z/2^k and its extension of degree 4. */
export interface GaloisRing {
  /** k. */
  readonly bits: number;
  /** 2^k. */
  readonly modulus: bigint;
  readonly zero: Element;
  readonly one: Element;
  /** Reduces a word into [0, 2^k). */
  word(value: bigint): bigint;
  /** Reduces four coefficients. */
  element(coefficients: Element): Element;
  /** Returns the element whose coefficient 0 is the given integer and whose others are zero. */
  scalar(value: bigint): Element;
  add(a: Element, b: Element): Element;
  sub(a: Element, b: Element): Element;
  mul(a: Element, b: Element): Element;
  /** Multiplies each coefficient by an integer. */
  scale(a: Element, factor: bigint): Element;
  sum(terms: Iterable<Element>): Element;
  equals(a: Element, b: Element): boolean;
}

/** Applies a function to each coefficient. */
export const mapElement = (a: Element, each: (word: bigint, index: number) => bigint): Element => [
  each(a[0], 0),
  each(a[1], 1),
  each(a[2], 2),
  each(a[3], 3),
];

/**
 * Returns GR(2^bits, 4).
 *
 * @example
 * const ring = galoisRing(64);
 * ring.mul([0n, 0n, 0n, 1n], [0n, 1n, 0n, 0n]); // X³·X = -1 - X: [2n ** 64n - 1n, 2n ** 64n - 1n, 0n, 0n]
 */
export function galoisRing(bits: number): GaloisRing {
  const modulus = 1n << BigInt(bits);
  const word = (value: bigint): bigint => BigInt.asUintN(bits, value);
  const element = (coefficients: Element): Element => mapElement(coefficients, word);
  const zero: Element = [0n, 0n, 0n, 0n];
  const add = (a: Element, b: Element): Element => element([a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]);
  return {
    bits,
    modulus,
    zero,
    one: [1n, 0n, 0n, 0n],
    word,
    element,
    scalar: (value) => [word(value), 0n, 0n, 0n],
    add,
    sub: (a, b) => element([a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]),
    mul: (a, b) => element(productModulo(a, b)),
    scale: (a, factor) => element(mapElement(a, (word) => word * factor)),
    sum: (terms) => [...terms].reduce(add, zero),
    equals: (a, b) => a.every((word, i) => word === b[i]),
  };
}

/** Product in Z[X] modulo X⁴ + X + 1, coefficients not reduced: X⁴ = -1 - X, X⁵ = -X - X², X⁶ = -X² - X³. */
function productModulo(a: Element, b: Element): Element {
  const c0 = a[0] * b[0];
  const c1 = a[0] * b[1] + a[1] * b[0];
  const c2 = a[0] * b[2] + a[1] * b[1] + a[2] * b[0];
  const c3 = a[0] * b[3] + a[1] * b[2] + a[2] * b[1] + a[3] * b[0];
  const c4 = a[1] * b[3] + a[2] * b[2] + a[3] * b[1];
  const c5 = a[2] * b[3] + a[3] * b[2];
  const c6 = a[3] * b[3];
  return [c0 - c4, c1 - c4 - c5, c2 - c5 - c6, c3 - c6];
}

/** GR(2^64, 4). */
export const GR64: GaloisRing = galoisRing(64);
/** GR(2^128, 4). */
export const GR128: GaloisRing = galoisRing(128);
