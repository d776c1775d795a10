/**
 * How many distinct blocks were masked under each epoch. The noise of a block is hidden statistically, so an epoch is
 * good for a bounded number of them (threshold-protocols section 3.5 (e)).
 *
 * The same ciphertext has the same mask and counts once, as long as it is among the last that were seen: the count is
 * never too small. Nothing here is secret.
 */

/** The ciphertexts of one request, as they are counted. */
export interface MaskedItems {
  readonly epochId: string;
  readonly keyId: string;
  /** `key` is the same for equal ciphertexts, and short. */
  readonly items: readonly { readonly key: string; readonly blocks: number }[];
}

/** Blocks after which an epoch should be replaced: the advantage of an adversary is 2^-19 by then. */
export const MANY_MASKED_BLOCKS = 2 ** 40;
/** Ciphertexts that are known to have been counted: at least so many of the last ones, at most twice as many. */
const REMEMBERED = 16_384;

/** See the file comment. */
export class MaskedBlocks {
  readonly #counts = new Map<string, number>();
  /** A number for each epoch and key, to keep short what is remembered. */
  readonly #places = new Map<string, number>();
  readonly #onMany: (epochId: string, blocks: number) => void;
  readonly #many: number;
  readonly #remembered: number;
  #seen = new Set<string>();
  #seenBefore = new Set<string>();

  constructor(
    onMany: (epochId: string, blocks: number) => void,
    limits: { readonly many?: number; readonly remembered?: number } = {},
  ) {
    this.#onMany = onMany;
    this.#many = limits.many ?? MANY_MASKED_BLOCKS;
    this.#remembered = limits.remembered ?? REMEMBERED;
  }

  /** Blocks by epoch. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** Counts the ciphertexts of a request in. */
  add({ epochId, keyId, items }: MaskedItems): void {
    const before = this.#counts.get(epochId) ?? 0;
    let after = before;
    const place = this.#placeOf(`${epochId} ${keyId}`);
    for (const { key, blocks } of items) if (this.#isNew(`${place} ${key}`)) after += blocks;
    this.#counts.set(epochId, after);
    if (before < this.#many && after >= this.#many) this.#onMany(epochId, after);
  }

  #placeOf(name: string): number {
    const place = this.#places.get(name) ?? this.#places.size;
    this.#places.set(name, place);
    return place;
  }

  #isNew(key: string): boolean {
    if (this.#seen.has(key) || this.#seenBefore.has(key)) return false;
    if (this.#seen.size >= this.#remembered) {
      this.#seenBefore = this.#seen;
      this.#seen = new Set();
    }
    this.#seen.add(key);
    return true;
  }
}
