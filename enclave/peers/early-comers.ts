/**
 * Who asks for a meeting that this engine is not in yet. Whoever still wants it asks again each second, so what is older
 * than a few seconds is of somebody who has given up, and would only spoil the next attempt.
 */

/** What an early party has said. */
export interface EarlyWord {
  readonly digest: Uint8Array;
  readonly nonce: Uint8Array;
}

const KEEP_MS = 5_000;
/** Of one party; its own oldest go first. */
const MOST = 256;

/** See the file comment. */
export class EarlyComers {
  readonly #nowMs: () => number;
  readonly #words = new Map<number, Map<string, EarlyWord & { readonly atMs: number }>>();

  /** @param nowMs - Monotonic time. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Keeps a party's newest word about a meeting. */
  put(party: number, key: string, word: EarlyWord): void {
    const words = this.#words.get(party) ?? new Map();
    this.#words.set(party, words);
    words.delete(key); // to the end of the order
    words.set(key, { ...word, atMs: this.#nowMs() });
    for (const [oldest, { atMs }] of words) {
      if (words.size <= MOST && this.#nowMs() - atMs < KEEP_MS) break;
      words.delete(oldest);
    }
  }

  /** Returns a party's word about a meeting, once, if it is fresh. */
  take(party: number, key: string): EarlyWord | undefined {
    const words = this.#words.get(party);
    const word = words?.get(key);
    words?.delete(key);
    return word && this.#nowMs() - word.atMs < KEEP_MS ? word : undefined;
  }
}
