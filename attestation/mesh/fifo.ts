/** A queue whose both ends cost the same however long it is; `Array.shift` moves all that is left. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #first = 0;

  /** Items in the queue. */
  get size(): number {
    return this.#items.length - this.#first;
  }

  /** Adds an item at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** Returns the first item and leaves it there. */
  peek(): T | undefined {
    return this.#items[this.#first];
  }

  /** Takes the first item. */
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first] = undefined;
    this.#first += 1;
    if (this.#first === this.#items.length) {
      this.#items.length = 0;
      this.#first = 0;
    } else if (this.#first >= 1024 && this.#first * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** Takes every item. */
  drain(): T[] {
    const rest = this.#items.slice(this.#first).filter((item) => item !== undefined);
    this.#items.length = 0;
    this.#first = 0;
    return rest;
  }
}
