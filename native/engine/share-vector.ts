/**
 * Vectors of elements of the Galois rings GR(2^64, 4) and GR(2^128, 4), and sharings of them.
 *
 * Secret face. Elements live in native memory and are wiped when a vector is disposed of; `encode` alone brings them
 * over, for a frame to a peer or for the vault. Spec: threshold-protocols §1, §2.6. Twin: enclave/algebra.
 */
import { inspect } from 'node:util';
import { KmsError } from '../../common/errors.ts';
import { attempt, attemptAsync, native } from './load.ts';

/** Bits of a word of the base ring. */
export type Ring = 64 | 128;

/** The native handle of a {@link ShareVector}; for this folder only. */
export interface RawVector {
  readonly ring: Ring;
  readonly length: number;
  encode(): Uint8Array;
  add(other: RawVector): RawVector;
  sub(other: RawVector): RawVector;
  mul(other: RawVector): RawVector;
  equals(other: RawVector): boolean;
  slice(from: number, to: number): RawVector;
  dispose(): void;
}

interface VectorBinding {
  readonly NativeShareVector: {
    random(ring: number, length: number): RawVector;
    fromBytes(ring: number, bytes: Uint8Array): RawVector;
  };
  concatShares(vectors: readonly RawVector[]): RawVector;
  combineShares(vectors: readonly RawVector[], coefficients: readonly Uint8Array[]): RawVector;
  shamirShare(secret: RawVector, n: number, t: number): RawVector[];
  bivariateShare(secret: RawVector, n: number, t: number): { rows: RawVector[][]; columns: RawVector[][] };
  evaluateShares(coefficients: readonly RawVector[], party: number): RawVector;
  extractShares(vectors: readonly RawVector[], t: number): RawVector[];
  lagrangeWeights(ring: number, parties: readonly number[], at: number): Uint8Array[];
  openRobust(
    degree: number,
    parties: readonly number[],
    shares: readonly RawVector[],
    maxErrors: number,
  ): Promise<{ readonly value: RawVector; readonly liars: number[] } | null>;
}

const lib = native<VectorBinding>([
  'NativeShareVector',
  'concatShares',
  'combineShares',
  'shamirShare',
  'bivariateShare',
  'evaluateShares',
  'extractShares',
  'lagrangeWeights',
  'openRobust',
]);

let rawOf: (vector: ShareVector) => RawVector;
let wrap: (raw: RawVector) => ShareVector;

/**
 * An immutable vector of ring elements. Disposing of it wipes it once no running call uses it.
 *
 * Operations on vectors of different rings or lengths throw `REQUEST_INVALID`.
 */
export class ShareVector {
  readonly #raw: RawVector;

  static {
    rawOf = (vector) => vector.#raw;
    wrap = (raw) => new ShareVector(raw);
  }

  private constructor(raw: RawVector) {
    this.#raw = raw;
  }

  /** Returns `length` elements fresh from the operating system's randomness. */
  static random(ring: Ring, length: number): ShareVector {
    return wrap(attempt(() => lib.NativeShareVector.random(ring, length)));
  }

  /**
   * Reads elements one after the other: four coefficients of 8 or 16 bytes each, little endian. Every value is valid.
   *
   * @throws {@link KmsError} `REQUEST_INVALID` if `bytes` are not whole elements.
   */
  static fromBytes(ring: Ring, bytes: Uint8Array): ShareVector {
    return wrap(attempt(() => lib.NativeShareVector.fromBytes(ring, bytes)));
  }

  /** Joins vectors of one ring, at least one. */
  static concat(parts: readonly ShareVector[]): ShareVector {
    return wrap(attempt(() => lib.concatShares(parts.map(rawOf))));
  }

  /** Bits of a word. */
  get ring(): Ring {
    return attempt(() => this.#raw.ring);
  }

  /** Number of elements. */
  get length(): number {
    return attempt(() => this.#raw.length);
  }

  /** Writes the elements into an ArrayBuffer of their own, which the caller wipes. */
  encode(): Uint8Array {
    return attempt(() => this.#raw.encode());
  }

  /** Sums, element by element. */
  add(other: ShareVector): ShareVector {
    return wrap(attempt(() => this.#raw.add(rawOf(other))));
  }

  /** Differences, element by element. */
  sub(other: ShareVector): ShareVector {
    return wrap(attempt(() => this.#raw.sub(rawOf(other))));
  }

  /** Products, element by element: of shares of degree t, shares of degree 2t. */
  mul(other: ShareVector): ShareVector {
    return wrap(attempt(() => this.#raw.mul(rawOf(other))));
  }

  /** Products with one public element, encoded (32 or 64 bytes). */
  scale(element: Uint8Array): ShareVector {
    return combine([this], [element]);
  }

  /** Elements `from` to `to` - 1. */
  slice(from: number, to: number): ShareVector {
    return wrap(attempt(() => this.#raw.slice(from, to)));
  }

  /** Returns whether all elements are equal, in time that does not depend on them. */
  equals(other: ShareVector): boolean {
    return attempt(() => this.#raw.equals(rawOf(other)));
  }

  /** Forgets and wipes the elements. Repeating it does nothing. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toJSON(): string {
    return '[ShareVector]';
  }

  [inspect.custom](): string {
    return '[ShareVector]';
  }
}

/** Returns a vector around a native handle, for this folder's other native calls. */
export function wrapShareVector(raw: RawVector): ShareVector {
  return wrap(raw);
}

/** Returns Σ cᵢ·vᵢ for public elements cᵢ, encoded (32 or 64 bytes), one for each vector. */
export function combine(vectors: readonly ShareVector[], coefficients: readonly Uint8Array[]): ShareVector {
  return wrap(attempt(() => lib.combineShares(vectors.map(rawOf), coefficients)));
}

/** Shares each element with a random polynomial of degree `t`. Index i of the result is party i + 1's. */
export function shamirShare(secret: ShareVector, n: number, t: number): ShareVector[] {
  return attempt(() => lib.shamirShare(rawOf(secret), n, t)).map(wrap);
}

/** What the dealer of a verifiable sharing sends. Index i is party i + 1's; each polynomial is t + 1 coefficients. */
export interface BivariateShares {
  /** F(X, αᵢ): the coefficient vectors, constant terms first. The constant term is the party's share. */
  readonly rows: ShareVector[][];
  /** F(αᵢ, Y). */
  readonly columns: ShareVector[][];
}

/** Shares each element with a random bivariate polynomial of degree `t` in both variables, F(0, 0) the secret. */
export function bivariateShare(secret: ShareVector, n: number, t: number): BivariateShares {
  const { rows, columns } = attempt(() => lib.bivariateShare(rawOf(secret), n, t));
  return { rows: rows.map((row) => row.map(wrap)), columns: columns.map((column) => column.map(wrap)) };
}

/** Returns the values at a party's point (0: the secret's) of polynomials given by their coefficient vectors. */
export function evaluate(coefficients: readonly ShareVector[], party: number): ShareVector {
  return wrap(attempt(() => lib.evaluateShares(coefficients.map(rawOf), party)));
}

/**
 * Extracts randomness from one vector of each party, in their order: n - t vectors that are uniform if at most `t` of
 * the given ones are adversarial (threshold-protocols §1.6).
 */
export function extract(vectors: readonly ShareVector[], t: number): ShareVector[] {
  return attempt(() => lib.extractShares(vectors.map(rawOf), t)).map(wrap);
}

/** Returns encoded weights, one a party, that interpolate at the point of `at` (0: the secret's). */
export function lagrangeWeights(ring: Ring, parties: readonly number[], at = 0): Uint8Array[] {
  return attempt(() => lib.lagrangeWeights(ring, parties, at));
}

/** What {@link openRobust} gives. */
export interface Opened {
  readonly value: ShareVector;
  /** Parties whose shares lie off the polynomials, in order. */
  readonly liars: readonly number[];
}

/**
 * Opens sharings of degree `degree` from the shares at hand, on the native thread pool.
 *
 * Absent parties are erasures. One check of the codeword in the ring a value; decoding by bit lifting only where that
 * fails. `maxErrors` is how many wrong shares a value may have; it must leave decoding unique, at most
 * (shares - degree - 1) / 2. For a degree-t opening that at least t + 1 honest parties stand behind, that is
 * shares - (2t + 1).
 *
 * @returns undefined if some value does not decode: more shares are needed, or too many of them are wrong.
 * @throws {@link KmsError} `REQUEST_INVALID` for a party outside 1 to n, or shares of different rings or lengths.
 */
export async function openRobust(options: {
  readonly degree: number;
  readonly n: number;
  readonly maxErrors: number;
  readonly shares: ReadonlyMap<number, ShareVector>;
}): Promise<Opened | undefined> {
  const { degree, n, maxErrors, shares } = options;
  if (Math.max(...shares.keys()) > n) throw new KmsError('REQUEST_INVALID', 'a share is of no party', { n });
  if (maxErrors < 0 || shares.size < degree + 1 + 2 * maxErrors) return undefined;
  const opened = await attemptAsync(() =>
    lib.openRobust(degree, [...shares.keys()], [...shares.values()].map(rawOf), maxErrors),
  );
  return opened ? { value: wrap(opened.value), liars: opened.liars } : undefined;
}
