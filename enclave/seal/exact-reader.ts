/** Reads a stream of pieces of any size in amounts that the reader chooses. Holds one piece at a time, and no copy of it. */

/** See the file comment. */
export class ExactReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array();
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Fills `into` from its start; returns how many bytes there were, fewer only at the end. */
  async fill(into: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < into.length && (await this.#more())) {
      const taken = this.#piece.subarray(0, into.length - filled);
      into.set(taken, filled);
      filled += taken.length;
      this.#piece = this.#piece.subarray(taken.length);
    }
    return filled;
  }

  /** Returns what is left of the piece at hand, or the next; undefined at the end. Holds until the next is asked for. */
  async take(): Promise<Uint8Array | undefined> {
    if (!(await this.#more())) return undefined;
    const piece = this.#piece;
    this.#piece = new Uint8Array();
    return piece;
  }

  /** Returns whether nothing is left. */
  async atEnd(): Promise<boolean> {
    return !(await this.#more());
  }

  /** Lets go of the source, read or not. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#source.return?.();
  }

  async #more(): Promise<boolean> {
    while (this.#piece.length === 0 && !this.#ended) {
      const next = await this.#source.next();
      if (next.done === true) this.#ended = true;
      else this.#piece = next.value;
    }
    return this.#piece.length > 0;
  }
}
