/**
 * Opening a sharing over the ring although some shares are wrong: one check of the codeword, and bit lifting for what
 * fails it (threshold-protocols §1.4).
 */
import { point } from './exceptional-sequence.ts';
import { type Element, type GaloisRing, mapElement } from './galois-ring.ts';
import { lift } from './gf16.ts';
import { decodeField } from './reed-solomon.ts';
import { evaluate, interpolate } from './shamir.ts';

/** An opened polynomial, and the parties whose shares are not on it. */
export interface Opened {
  readonly value: Element;
  readonly liars: readonly number[];
}

/**
 * Opens one value of degree at most `degree`.
 *
 * @param shares - By party; who is absent is an erasure.
 * @param maxErrors - Wrong shares to correct.
 * @returns undefined if no polynomial misses at most `maxErrors` shares, or if with so few shares several may.
 */
export function openRobust(
  ring: GaloisRing,
  degree: number,
  shares: ReadonlyMap<number, Element>,
  maxErrors: number,
): Opened | undefined {
  if (shares.size < degree + 1 + 2 * maxErrors) return undefined;
  const fast = openCodeword(ring, degree, shares);
  if (fast !== undefined) return { value: fast, liars: [] };
  const polynomial = liftBits(ring, degree, shares, maxErrors);
  if (polynomial === undefined) return undefined;
  const wrong = [...shares].filter(([i, share]) => !ring.equals(evaluate(ring, polynomial, point(i)), share));
  return { value: polynomial[0] ?? ring.zero, liars: wrong.map(([i]) => i).sort((a, b) => a - b) };
}

/** The fast path: interpolates the first degree + 1 shares and wants every other one to be as predicted. */
export function openCodeword(
  ring: GaloisRing,
  degree: number,
  shares: ReadonlyMap<number, Element>,
): Element | undefined {
  const basis = new Map([...shares].slice(0, degree + 1));
  const others = [...shares].slice(degree + 1);
  const agree = others.every(([i, share]) => ring.equals(interpolate(ring, basis, point(i)), share));
  return agree ? interpolate(ring, basis) : undefined;
}

/**
 * Bit lifting: decodes bit b of all shares as a codeword over GF(16), takes its lift times 2^b off the shares, and goes
 * on with bit b + 1. A share that does not become divisible is wrong and takes one from the budget of errors.
 *
 * @returns coefficients of the polynomial, constant term first.
 */
export function liftBits(
  ring: GaloisRing,
  degree: number,
  shares: ReadonlyMap<number, Element>,
  maxErrors: number,
): Element[] | undefined {
  const valid = new Map(shares);
  let polynomial = new Array<Element>(degree + 1).fill(ring.zero);
  for (let bit = 0n; bit < ring.bits; bit++) {
    const parties = [...valid.keys()];
    const bits = [...valid.values()].map((share) => bitOf(share, bit));
    const field = decodeField(parties, bits, degree, maxErrors - (shares.size - valid.size));
    if (field === undefined) return undefined;
    const step = polynomial.map((_, i) => ring.scale(lift(field[i] ?? 0), 1n << bit));
    polynomial = polynomial.map((coefficient, i) => ring.add(coefficient, step[i] ?? ring.zero));
    for (const [party, share] of valid) {
      const rest = ring.sub(share, evaluate(ring, step, point(party)));
      if (bitOf(rest, bit) === 0) valid.set(party, rest);
      else valid.delete(party);
    }
  }
  return shares.size - valid.size <= maxErrors ? polynomial : undefined;
}

/** Bit `bit` of each coefficient, as an element of GF(16). */
function bitOf(share: Element, bit: bigint): number {
  return mapElement(share, (word) => (word >> bit) & 1n).reduce((bits, word, i) => bits | (Number(word) << i), 0);
}
