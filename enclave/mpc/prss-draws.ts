/**
 * Pseudo-random sharings of one session, and which of them may still be revealed.
 *
 * A draw is kept, and then nothing of it ever leaves this party, or thrown away, and then the values of its functions may
 * be shown to find who lied about it; never both. There is no family of masks here, and keys of masks are elsewhere: blame
 * on a mask, or on what has hidden an opened secret, cannot be expressed. Spec: threshold protocols, 2.7, 3.5 (b) and (f).
 */
import { KmsError } from '../../common/errors.ts';
import type { RingVector } from './arithmetic.ts';

/** Families of draws: random elements (degree t), and sharings of zero (degree 2t). */
export type PrssFamily = 'prss' | 'przs';

/** The functions of a set-up, keyed by the session's id, so that no two sessions share a value. */
export interface PrssFunctions<V extends RingVector> {
  /** Sets of parties, in lexicographic order. */
  readonly sets: readonly (readonly number[])[];
  /** Size of a function's value: an element, or t of them. */
  valueBytes(family: PrssFamily): number;
  /** This party's share of the sharing of a counter. */
  draw(family: PrssFamily, counter: bigint): V;
  /** What the keys of this party's sets give for a counter, by set. Secret until the draw is thrown away. */
  values(family: PrssFamily, counter: bigint): RevealedValues;
  /** A party's share, from the values of the sets that hold it. */
  share(family: PrssFamily, party: number, valueFor: (set: number) => Uint8Array): V;
}

/** One pseudo-random sharing of which this party has a share. */
export interface Draw<V extends RingVector> {
  readonly family: PrssFamily;
  readonly counter: bigint;
  /** This party's share; gone once the draw is thrown away. */
  readonly share: V;
}

/** Values of a draw that was thrown away, by set; to be shown to all. */
export type RevealedValues = ReadonlyMap<number, Uint8Array>;

type State = 'open' | 'kept' | 'thrown away';

/** All draws of one session. Counters begin at zero and never go back. */
export class PrssDraws<V extends RingVector> {
  readonly functions: PrssFunctions<V>;
  readonly #states = new WeakMap<Draw<V>, State>();
  readonly #counters: Record<PrssFamily, bigint> = { prss: 0n, przs: 0n };

  constructor(functions: PrssFunctions<V>) {
    this.functions = functions;
  }

  /** Draws the next sharing of a family. All parties draw in the same order. */
  draw(family: PrssFamily): Draw<V> {
    const counter = this.#counters[family];
    this.#counters[family] += 1n;
    const draw = { family, counter, share: this.functions.draw(family, counter) };
    this.#states.set(draw, 'open');
    return draw;
  }

  /**
   * Says that something depends on a draw from here on, and returns its share. It can never be revealed.
   *
   * @throws KmsError `STATE_INVALID` if it was thrown away.
   */
  keep(draw: Draw<V>): V {
    this.#move(draw, 'kept');
    return draw.share;
  }

  /**
   * Throws a draw away, disposes of its share, and returns what its functions gave this party.
   *
   * @throws KmsError `STATE_INVALID` if it was kept or thrown away before, or is no draw of this session.
   */
  throwAway(draw: Draw<V>): RevealedValues {
    this.#move(draw, 'thrown away');
    draw.share.dispose();
    return this.functions.values(draw.family, draw.counter);
  }

  #move(draw: Draw<V>, to: State): void {
    const state = this.#states.get(draw) ?? 'of another session';
    if (state !== 'open') throw new KmsError('STATE_INVALID', `a draw that is ${state} cannot be ${to}`);
    this.#states.set(draw, to);
  }
}
