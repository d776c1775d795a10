/**
 * Public elements of Z/2^64[X]/(X^4 + X + 1): evaluation points of custodians and their Lagrange weights, as matrices
 * that act on the coefficients of a secret element. Nothing here is secret; BigInt is for such numbers only.
 */

type PublicElement = readonly [bigint, bigint, bigint, bigint];

/** Row r, column c, 16-bit limb l at index 16·r + 4·c + l: how coefficient c goes into coefficient r. */
export type LimbMatrix = Float64Array;

const DEGREE = 4;
const LIMBS_PER_WORD = 4;
const ZERO: PublicElement = [0n, 0n, 0n, 0n];
const ONE: PublicElement = [1n, 0n, 0n, 0n];
const TWO: PublicElement = [2n, 0n, 0n, 0n];
/** Each step of Newton's iteration doubles the bits of an inverse that are right: 1, 2, 4, …, 64. */
const NEWTON_STEPS = 6;
/** The inverse in GF(16) is the 14th power. */
const INVERSE_POWER = 14;

/** Returns the matrices of α^0 … α^degree for the evaluation point α of a custodian. */
export function powerMatrices(role: number, degree: number): LimbMatrix[] {
  const matrices = [];
  let power = ONE;
  for (let exponent = 0; exponent <= degree; exponent++) {
    matrices.push(matrixOf(power));
    power = multiply(power, pointOf(role));
  }
  return matrices;
}

/**
 * Returns matrices M with f(at) = Σ M_i·f(α_i) for every polynomial of a degree below the number of custodians.
 *
 * @param roles - Distinct, from 1.
 * @param at - Custodian whose value is wanted, 0 for the secret.
 */
export function weightMatrices(roles: readonly number[], at: number): LimbMatrix[] {
  return roles.map((role) => {
    const others = roles.filter((other) => other !== role);
    const weight = others.reduce(
      (product, other) =>
        multiply(
          product,
          multiply(subtract(pointOf(at), pointOf(other)), invert(subtract(pointOf(role), pointOf(other)))),
        ),
      ONE,
    );
    return matrixOf(weight);
  });
}

/** Coefficient k of a custodian's point is bit k of its number. */
function pointOf(role: number): PublicElement {
  const bit = (k: number): bigint => BigInt((role >> k) & 1);
  return [bit(0), bit(1), bit(2), bit(3)];
}

function matrixOf(element: PublicElement): LimbMatrix {
  const matrix = new Float64Array(DEGREE * DEGREE * LIMBS_PER_WORD);
  let column = element;
  for (let c = 0; c < DEGREE; c++) {
    for (const [r, word] of column.entries()) {
      for (let l = 0; l < LIMBS_PER_WORD; l++) {
        matrix[16 * r + 4 * c + l] = Number((word >> BigInt(16 * l)) & 0xffffn);
      }
    }
    column = timesX(column);
  }
  return matrix;
}

function multiply(a: PublicElement, b: PublicElement): PublicElement {
  let sum = ZERO;
  let shifted = a;
  for (const factor of b) {
    sum = combine(sum, shifted, factor);
    shifted = timesX(shifted);
  }
  return sum;
}

/** X·(a0 + a1·X + a2·X² + a3·X³), where X⁴ = −1 − X. */
function timesX([a0, a1, a2, a3]: PublicElement): PublicElement {
  return [word(-a3), word(a0 - a3), a1, a2];
}

function subtract(a: PublicElement, b: PublicElement): PublicElement {
  return combine(a, b, -1n);
}

function combine(a: PublicElement, b: PublicElement, factor: bigint): PublicElement {
  return [
    word(a[0] + factor * b[0]),
    word(a[1] + factor * b[1]),
    word(a[2] + factor * b[2]),
    word(a[3] + factor * b[3]),
  ];
}

/** Inverse of an element that is not zero modulo 2, as differences of points are. */
function invert(a: PublicElement): PublicElement {
  let inverse = ONE;
  for (let power = 0; power < INVERSE_POWER; power++) inverse = multiply(inverse, a);
  for (let step = 0; step < NEWTON_STEPS; step++) {
    inverse = multiply(inverse, subtract(TWO, multiply(a, inverse)));
  }
  return inverse;
}

const word = (value: bigint): bigint => BigInt.asUintN(64, value);
