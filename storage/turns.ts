/**
 * Work that must not overlap, one queue a key: the writers of one name, within this process.
 */

/** Queues by key. A key without waiting work takes no memory. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs the work once all that was given before under this key has ended, however it ended. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
