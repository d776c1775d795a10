/**
 * The arithmetic of protocols over GR(2^32, 4), in plain numbers: as quick as protocol tests need, each function by its
 * definition. Decoding tries sets of senders until one explains enough shares. Not constant time, nothing secret.
 */
import type { Arithmetic, BivariateShares, Opened, OpeningInput, RingVector } from '../../enclave/mpc/arithmetic.ts';

type Element = readonly [number, number, number, number];
const ZERO: Element = [0, 0, 0, 0];
const ONE: Element = [1, 0, 0, 0];

/** The product modulo X^4 + X + 1. */
function multiply(a: Element, b: Element): Element {
  const [a0, a1, a2, a3] = a;
  const [b0, b1, b2, b3] = b;
  const c4 = Math.imul(a1, b3) + Math.imul(a2, b2) + Math.imul(a3, b1);
  const c5 = Math.imul(a2, b3) + Math.imul(a3, b2);
  const c6 = Math.imul(a3, b3);
  return [
    (Math.imul(a0, b0) - c4) >>> 0,
    (Math.imul(a0, b1) + Math.imul(a1, b0) - c4 - c5) >>> 0,
    (Math.imul(a0, b2) + Math.imul(a1, b1) + Math.imul(a2, b0) - c5 - c6) >>> 0,
    (Math.imul(a0, b3) + Math.imul(a1, b2) + Math.imul(a2, b1) + Math.imul(a3, b0) - c6) >>> 0,
  ];
}

const add = (a: Element, b: Element): Element => [
  (a[0] + b[0]) >>> 0,
  (a[1] + b[1]) >>> 0,
  (a[2] + b[2]) >>> 0,
  (a[3] + b[3]) >>> 0,
];
const subtract = (a: Element, b: Element): Element => [
  (a[0] - b[0]) >>> 0,
  (a[1] - b[1]) >>> 0,
  (a[2] - b[2]) >>> 0,
  (a[3] - b[3]) >>> 0,
];
/** A party's point: the binary digits of its role. */
const point = (role: number): Element => [role & 1, (role >> 1) & 1, (role >> 2) & 1, (role >> 3) & 1];

/** Inverse of a unit: a^14 is one modulo 2, and each Newton step doubles the bits that are right. */
function invert(a: Element): Element {
  let x = ONE;
  for (let power = 0; power < 14; power++) x = multiply(x, a);
  for (let bits = 1; bits < 32; bits *= 2) x = multiply(x, subtract([2, 0, 0, 0], multiply(a, x)));
  return x;
}

const inverses = new Map<number, Element>();

/** One over the difference of two points. */
function inverseDifference(role: number, other: number): Element {
  const known = inverses.get(16 * role + other);
  const inverse = known ?? invert(subtract(point(role), point(other)));
  if (!known) inverses.set(16 * role + other, inverse);
  return inverse;
}

const weightsOf = new Map<number, readonly Element[]>();

/** Lagrange weights of these roles for the value at a role's point, or at 0. */
function weights(roles: readonly number[], at: number): readonly Element[] {
  const key = roles.reduce((sum, role) => 16 * sum + role, 16 * roles.length + at);
  const known = weightsOf.get(key);
  if (known) return known;
  const made = roles.map((role) =>
    roles
      .filter((other) => other !== role)
      .map((other) => multiply(subtract(point(at), point(other)), inverseDifference(role, other)))
      .reduce(multiply, ONE),
  );
  weightsOf.set(key, made);
  return made;
}

/** A vector of elements of GR(2^32, 4). */
export class SmallVector implements RingVector {
  elements: readonly Element[];
  constructor(elements: readonly Element[]) {
    this.elements = elements;
  }
  get length(): number {
    return this.elements.length;
  }
  dispose(): void {
    this.elements = [];
  }
}

/** Interpolates at a point the vectors of some roles. */
function interpolate(shares: ReadonlyMap<number, SmallVector>, roles: readonly number[], at: number, index: number) {
  const lambda = weights(roles, at);
  return roles.reduce(
    (sum, role, i) => add(sum, multiply(lambda[i] ?? ZERO, shares.get(role)?.elements[index] ?? ZERO)),
    ZERO,
  );
}

function* subsets(roles: readonly number[], size: number): Generator<readonly number[]> {
  if (size === 0) yield [];
  for (const [index, role] of roles.entries()) {
    for (const rest of subsets(roles.slice(index + 1), size - 1)) yield [role, ...rest];
  }
}

function first<T>(candidates: Iterable<T>, suits: (candidate: T) => boolean): T | undefined {
  for (const candidate of candidates) if (suits(candidate)) return candidate;
  return undefined;
}

const same = (a: Element, b: Element): boolean => a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];

/** Returns the arithmetic; `random` makes it repeatable. */
export function smallRing(random: (sizeBytes: number) => Uint8Array): Arithmetic<SmallVector> {
  const decode = (bytes: Uint8Array): SmallVector => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const word = (i: number): number => view.getUint32(4 * i, true);
    return new SmallVector(
      Array.from({ length: bytes.byteLength / 16 }, (_, i) => [
        word(4 * i),
        word(4 * i + 1),
        word(4 * i + 2),
        word(4 * i + 3),
      ]),
    );
  };
  const randomVector = (length: number): SmallVector => decode(random(16 * length));
  const zip2 = (a: SmallVector, b: SmallVector, f: (x: Element, y: Element) => Element): SmallVector =>
    new SmallVector(a.elements.map((x, i) => f(x, b.elements[i] ?? ZERO)));
  const evaluate = (coefficients: readonly SmallVector[], party: number): SmallVector =>
    coefficients.reduceRight((sum, coefficient) => zip2(sum, coefficient, (x, y) => add(multiply(x, point(party)), y)));
  return {
    elementBytes: 16,
    zero: (length) => new SmallVector(Array.from({ length }, () => ZERO)),
    random: randomVector,
    decode,
    encode: ({ elements }) => new Uint8Array(Uint32Array.from(elements.flat()).buffer),
    add: (a, b) => zip2(a, b, add),
    slice: ({ elements }, from, to) => new SmallVector(elements.slice(from, to)),
    concat: (parts) => new SmallVector(parts.flatMap(({ elements }) => elements)),
    equals: (a, b) => a.length === b.length && a.elements.every((x, i) => same(x, b.elements[i] ?? ZERO)),
    evaluate,
    shareBivariate: (secret, n, t): BivariateShares<SmallVector> => {
      // f[x][y] is the coefficient of X^x Y^y.
      const f = Array.from({ length: t + 1 }, (_, x) =>
        Array.from({ length: t + 1 }, (_, y) => (x + y === 0 ? secret : randomVector(secret.length))),
      );
      const roles = Array.from({ length: n }, (_, index) => index + 1);
      return {
        rows: roles.map((role) => f.map((inY) => evaluate(inY, role))),
        columns: roles.map((role) =>
          f.map((_, y) =>
            evaluate(
              f.map((inY) => inY[y] ?? secret),
              role,
            ),
          ),
        ),
      };
    },
    extract: (vectors, n, t) =>
      Array.from({ length: n - t }, (_, power) =>
        vectors
          .map((vector, index) => {
            const factor = Array.from({ length: power }, () => point(index + 1)).reduce(multiply, ONE);
            return new SmallVector(vector.elements.map((x) => multiply(x, factor)));
          })
          .reduce((a, b) => zip2(a, b, add)),
      ),
    open: async ({
      degree,
      maxErrors,
      shares,
    }: OpeningInput<SmallVector>): Promise<Opened<SmallVector> | undefined> => {
      const roles = [...shares.keys()].sort((a, b) => a - b); // sets that were met before have their weights
      const length = shares.values().next().value?.length ?? 0;
      const liars = new Set<number>();
      const value: Element[] = [];
      let guess: readonly number[] = roles.slice(0, degree + 1);
      for (let index = 0; index < length; index++) {
        const isRight = (set: readonly number[], role: number): boolean =>
          same(interpolate(shares, set, role, index), shares.get(role)?.elements[index] ?? ZERO);
        const wrong = (set: readonly number[]): number[] => roles.filter((role) => !isRight(set, role));
        const explains = (set: readonly number[]): boolean => {
          let missed = 0;
          return roles.every((role) => isRight(set, role) || ++missed <= maxErrors);
        };
        if (!explains(guess)) {
          const better = first(subsets(roles, degree + 1), explains);
          if (!better) return undefined;
          guess = better;
        }
        for (const role of wrong(guess)) liars.add(role);
        value.push(interpolate(shares, guess, 0, index));
      }
      return { value: new SmallVector(value), liars: [...liars].sort((a, b) => a - b) };
    },
  };
}

/** Shares a vector of a polynomial of degree t with a given constant, for tests that need a sharing to begin with. */
export function shareSmall(
  ring: Arithmetic<SmallVector>,
  secret: SmallVector,
  n: number,
  degree: number,
): Map<number, SmallVector> {
  const coefficients = [secret, ...Array.from({ length: degree }, () => ring.random(secret.length))];
  return new Map(
    Array.from({ length: n }, (_, index): [number, SmallVector] => [index + 1, ring.evaluate(coefficients, index + 1)]),
  );
}
