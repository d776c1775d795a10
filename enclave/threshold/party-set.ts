/** A set of party numbers in one word: there are as many as requests are remembered. */

/** Parties have numbers from 1 to this. */
const MOST_PARTIES = 30;

/** See the file comment. */
export class PartySet implements Iterable<number> {
  #bits = 0;

  constructor(parties: Iterable<number> = []) {
    for (const party of parties) this.add(party);
  }

  /** How many parties are in it. */
  get size(): number {
    let count = 0;
    for (let bits = this.#bits; bits !== 0; bits &= bits - 1) count += 1;
    return count;
  }

  /** Puts a party in. */
  add(party: number): void {
    if (party >= 1 && party <= MOST_PARTIES) this.#bits |= 1 << party;
  }

  /** Whether a party is in it. */
  has(party: number): boolean {
    return party >= 1 && party <= MOST_PARTIES && (this.#bits & (1 << party)) !== 0;
  }

  *[Symbol.iterator](): Iterator<number> {
    for (let party = 1; party <= MOST_PARTIES; party++) if (this.has(party)) yield party;
  }
}
