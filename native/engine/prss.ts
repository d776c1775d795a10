/**
 * Pseudorandom sharings without a message: of random elements (degree t) and of zero (degree 2t).
 *
 * Secret face. Keyed by the session, so no two sessions share a value. There is no family of masks here, and what masks
 * are made of cannot be read. Spec: threshold-protocols §2.7, §3.5 (b) and (f). Twin: enclave/algebra/prss.ts.
 */
import { inspect } from 'node:util';
import { attempt, native } from './load.ts';
import { type RawVector, type Ring, type ShareVector, wrapShareVector } from './share-vector.ts';

/** Families of draws: random elements, and sharings of zero. */
export type PrssFamily = 'prss' | 'przs';

interface RawPrssKeys {
  draw(family: string, counter: bigint, count: number): RawVector;
  values(family: string, counter: bigint): Uint8Array[];
  dispose(): void;
}

interface PrssBinding {
  readonly NativePrssKeys: {
    fromKeys(
      ring: number,
      n: number,
      t: number,
      party: number,
      sessionId: Uint8Array,
      keys: readonly Uint8Array[],
    ): RawPrssKeys;
  };
  prssWeights(ring: number, n: number, t: number, party: number, family: string): Uint8Array[][];
}

const lib = native<PrssBinding>(['NativePrssKeys', 'prssWeights']);

/** One party's functions of one session. Disposing of them wipes them. */
export class PrssKeys {
  readonly #raw: RawPrssKeys;

  private constructor(raw: RawPrssKeys) {
    this.#raw = raw;
  }

  /**
   * Keys the functions for a session (32 bytes) with the keys r_A of the sets that hold `party`, 32 bytes each, sets in
   * the order of `setsOf`. The caller wipes the given bytes. Each ring has a set-up of its own.
   */
  static fromKeys(options: {
    readonly ring: Ring;
    readonly n: number;
    readonly t: number;
    readonly party: number;
    readonly sessionId: Uint8Array;
    readonly keys: readonly Uint8Array[];
  }): PrssKeys {
    const { ring, n, t, party, sessionId, keys } = options;
    return new PrssKeys(attempt(() => lib.NativePrssKeys.fromKeys(ring, n, t, party, sessionId, keys)));
  }

  /** Returns this party's shares of `count` sharings, with the counters from `counter` on. Counters stay below 2^104. */
  draw(family: PrssFamily, counter: bigint, count: number): ShareVector {
    return wrapShareVector(attempt(() => this.#raw.draw(family, counter, count)));
  }

  /**
   * Returns what the function of each set that holds the party gives for a counter: one element, or t of them for a
   * sharing of zero. Only for a draw that is thrown away, to find who lied about it.
   */
  values(family: PrssFamily, counter: bigint): Uint8Array[] {
    return attempt(() => this.#raw.values(family, counter));
  }

  /** Forgets and wipes the functions. Repeating it does nothing. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toJSON(): string {
    return '[PrssKeys]';
  }

  [inspect.custom](): string {
    return '[PrssKeys]';
  }
}

/**
 * Returns, for each set that holds a party, the public elements (encoded) that its values are multiplied with: the sum
 * of the products over all sets is the party's share.
 */
export function prssWeights(options: {
  readonly ring: Ring;
  readonly n: number;
  readonly t: number;
  readonly party: number;
  readonly family: PrssFamily;
}): Uint8Array[][] {
  const { ring, n, t, party, family } = options;
  return attempt(() => lib.prssWeights(ring, n, t, party, family));
}
