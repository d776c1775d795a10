/**
 * The arithmetic that protocols need, on whole vectors of ring elements behind handles.
 *
 * Protocols never touch an element: shares live where the implementation keeps them (Rust memory in production), and
 * bytes are only what goes over the wire. Spec: threshold protocols, sections 1 and 2.6.
 */

/** A vector of ring elements. Usually a share, so secret; disposing wipes it. */
export interface RingVector {
  /** Number of elements. */
  readonly length: number;
  dispose(): void;
}

/** What a dealer hands out: for party i, at index i - 1, the coefficients of F(X, alpha_i) and of F(alpha_i, Y). */
export interface BivariateShares<V> {
  readonly rows: readonly (readonly V[])[];
  readonly columns: readonly (readonly V[])[];
}

/** Shares of one opening. */
export interface OpeningInput<V> {
  /** Degree of the sharing. */
  readonly degree: number;
  readonly n: number;
  /** Wrong shares to correct, at most. */
  readonly maxErrors: number;
  readonly shares: ReadonlyMap<number, V>;
}

/** An opened vector, and who sent a share of it that is not on the polynomial. */
export interface Opened<V> {
  readonly value: V;
  readonly liars: readonly number[];
}

/** Operations on vectors of one ring. Parties are given by role, 1-based; point 0 is the secret's. */
export interface Arithmetic<V extends RingVector> {
  /** Size of an encoded element: 32 or 64 bytes. Vectors are encoded one element after the other. */
  readonly elementBytes: number;
  zero(length: number): V;
  /** Uniformly random, from the system's generator. */
  random(length: number): V;
  /** Reads a vector. The size must be a multiple of an element's; every such string is one. */
  decode(bytes: Uint8Array): V;
  encode(vector: V): Uint8Array;
  add(a: V, b: V): V;
  slice(vector: V, from: number, to: number): V;
  concat(parts: readonly V[]): V;
  /** Compares in constant time. */
  equals(a: V, b: V): boolean;
  /** Random bivariate polynomials of degree t in each variable with these secrets at (0, 0). */
  shareBivariate(secret: V, n: number, t: number): BivariateShares<V>;
  /** Value of a polynomial, given by its coefficient vectors from the constant on, at a party's point. */
  evaluate(coefficients: readonly V[], party: number): V;
  /** Randomness extraction (section 1.6): n vectors in the parties' order in, n - t out. */
  extract(vectors: readonly V[], n: number, t: number): V[];
  /** Robust decoding of every element; undefined if some element is not within `maxErrors` of a codeword. */
  open(input: OpeningInput<V>): Promise<Opened<V> | undefined>;
}

/** Reads a vector of exactly `length` elements; any other size is undefined. */
export function decodeExactly<V extends RingVector>(
  arithmetic: Arithmetic<V>,
  bytes: Uint8Array | undefined,
  length: number,
): V | undefined {
  return bytes?.byteLength === length * arithmetic.elementBytes ? arithmetic.decode(bytes) : undefined;
}
