/**
 * Remembers which certificate chains were found signed, by hash, until they expire: a device keeps its chain for
 * hours and signs a document for every connection. Only the signatures are remembered; every other rule is
 * checked each time.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { concatBytes } from '../../common/bytes.ts';

const DEFAULT_MAX_ENTRIES = 4096;

/** A bounded memory of chains; one per process is enough, whatever anchors it serves. */
export class ChainCache {
  readonly #maxEntries: number;
  /** Hash of a chain from its anchor on → when the first of its certificates ends. Oldest use first. */
  readonly #signed = new Map<string, number>();

  constructor(o: { maxEntries?: number } = {}) {
    this.#maxEntries = o.maxEntries ?? DEFAULT_MAX_ENTRIES;
  }

  /** Returns how many chains are remembered. */
  get size(): number {
    return this.#signed.size;
  }

  /**
   * Returns how many certificates at the front of a chain are known to be signed each by the one before.
   *
   * @param hashes - As {@link chainHashes} gives them.
   * @param nowMs - Entries that ended before are forgotten.
   */
  known(hashes: readonly string[], nowMs: number): number {
    for (let count = hashes.length; count > 0; count--) {
      const hash = hashes[count - 1] ?? '';
      const endMs = this.#signed.get(hash);
      if (endMs === undefined) continue;
      this.#signed.delete(hash);
      if (endMs < nowMs) continue;
      this.#signed.set(hash, endMs);
      return count;
    }
    return 0;
  }

  /** Remembers every front part of a chain whose signatures have all been verified. */
  add(hashes: readonly string[], endsMs: readonly number[]): void {
    let endMs = Number.POSITIVE_INFINITY;
    for (const [index, hash] of hashes.entries()) {
      endMs = Math.min(endMs, endsMs[index] ?? 0);
      this.#signed.delete(hash);
      this.#signed.set(hash, endMs);
    }
    for (const hash of this.#signed.keys()) {
      if (this.#signed.size <= this.#maxEntries) break;
      this.#signed.delete(hash);
    }
  }
}

/** Returns one hash for each front part of a chain, the anchor first: each covers all certificates up to there. */
export function chainHashes(chain: readonly Uint8Array[]): string[] {
  let hash = new Uint8Array(0);
  return chain.map((certificate) => {
    hash = new Uint8Array(sha256(concatBytes(hash, sha256(certificate))));
    return bytesToHex(hash);
  });
}
