/**
 * Bounds the work in flight by number and by bytes, over all links.
 *
 * Nothing is refused: a link whose call does not fit stops being read until others have finished, and the sender
 * feels it through its socket.
 */

/** How much may be in flight at once. */
export interface BudgetLimits {
  readonly calls: number;
  readonly bytes: number;
}

/** Counts calls in flight and wakes those that wait for room. */
export class WorkBudget {
  readonly #limits: BudgetLimits;
  readonly #waiting: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #calls = 0;
  #bytes = 0;

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
  }

  /** Calls in flight. */
  get calls(): number {
    return this.#calls;
  }

  /** Bytes of their bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether no further call should be read. */
  get full(): boolean {
    return this.#calls >= this.#limits.calls || this.#bytes >= this.#limits.bytes;
  }

  /** Counts a call in. Never refuses: the frame that carries it has been read already. */
  take(sizeBytes: number): void {
    this.#calls += 1;
    this.#bytes += sizeBytes;
  }

  /** Counts a call out and wakes the links that wait, if there is room again. */
  give(sizeBytes: number): void {
    this.#calls -= 1;
    this.#bytes -= sizeBytes;
    if (!this.full && this.#waiting.length > 0) for (const wake of this.#waiting.splice(0)) wake();
    if (this.#calls === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  /** Calls `wake` once when there is room again. */
  whenRoom(wake: () => void): void {
    if (this.full) this.#waiting.push(wake);
    else wake();
  }

  /** Resolves when no call is in flight. */
  whenIdle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#calls === 0) resolve();
      else this.#idle.push(resolve);
    });
  }
}
