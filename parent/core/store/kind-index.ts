/**
 * Requests of one kind in memory: by id, and the finished ones in the order in which they finished.
 *
 * A full index drops its oldest finished request, if enough fresher ones remain. Spec: kms-service 1.5.
 */
import { KmsError } from '../../../common/errors.ts';

/** What clients are told to wait when all room is taken: decryptions end within it. */
const RETRY_AFTER_MS = 1000;

/** An index of entries with an id. */
export class KindIndex<E extends { readonly id: string }> {
  readonly #capacity: number;
  readonly #minCompleted: number;
  readonly #byId = new Map<string, E>();
  readonly #completed = new Set<E>();

  constructor(capacity: number, minCompleted: number) {
    this.#capacity = capacity;
    this.#minCompleted = minCompleted;
  }

  get(id: string): E | undefined {
    return this.#byId.get(id);
  }

  values(): Iterable<E> {
    return this.#byId.values();
  }

  count(): { total: number; running: number; capacity: number } {
    const total = this.#byId.size;
    return { total, running: total - this.#completed.size, capacity: this.#capacity };
  }

  /**
   * Makes room for one more entry.
   *
   * @returns The entry that had to go, if one had to.
   * @throws {@link KmsError} `RESOURCE_EXHAUSTED` if none may go.
   */
  makeRoom(): E | undefined {
    if (this.#byId.size < this.#capacity) return undefined;
    const [oldest] = this.#completed;
    if (oldest === undefined || this.#completed.size <= this.#minCompleted) {
      throw new KmsError('RESOURCE_EXHAUSTED', 'the store of requests is full', { retryAfterMs: RETRY_AFTER_MS });
    }
    this.delete(oldest);
    return oldest;
  }

  /** Drops the oldest finished entries of an index that was filled when more were allowed, and returns them. */
  trim(): E[] {
    const excess = Math.min(this.#byId.size - this.#capacity, this.#completed.size - this.#minCompleted);
    const dropped = excess > 0 ? [...this.#completed].slice(0, excess) : [];
    for (const entry of dropped) this.delete(entry);
    return dropped;
  }

  add(entry: E): void {
    this.#byId.set(entry.id, entry);
  }

  /** The entry has finished just now. */
  completed(entry: E): void {
    if (this.#byId.get(entry.id) !== entry) return;
    this.#completed.delete(entry);
    this.#completed.add(entry);
  }

  /** The entry runs again. */
  running(entry: E): void {
    this.#completed.delete(entry);
  }

  delete(entry: E): void {
    this.#byId.delete(entry.id);
    this.#completed.delete(entry);
  }
}
