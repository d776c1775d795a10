/** Vectors that a protocol makes on its way, disposed together when it ends, however it ends. */
import type { RingVector } from './arithmetic.ts';

/** Owns vectors until the end of its block. */
export class Scratch implements Disposable {
  readonly #vectors = new Set<RingVector>();

  /** Takes a vector and returns it. */
  own<V extends RingVector>(vector: V): V {
    this.#vectors.add(vector);
    return vector;
  }

  /** Takes several vectors and returns them. */
  ownAll<V extends RingVector>(vectors: readonly V[]): readonly V[] {
    for (const vector of vectors) this.#vectors.add(vector);
    return vectors;
  }

  [Symbol.dispose](): void {
    for (const vector of this.#vectors) vector.dispose();
    this.#vectors.clear();
  }
}
