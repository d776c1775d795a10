/**
 * Lets one generation run at a time, in order of arrival.
 *
 * The native call of a generation cannot be stopped, so an aborted one keeps its turn until the call has come back
 * and its result is wiped; two at once would need twice the memory.
 */
import type { Clock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';

/** What a generation holds while it runs. */
export interface Turn {
  /**
   * Says that the generation is about to write what makes it real: from here on it cannot be aborted.
   *
   * @throws KmsError `ABORTED` if it was aborted before.
   */
  commit(): void;
}

/** Turns, handed out in order. */
export class GenerationQueue {
  readonly #clock: Clock;
  readonly #log: Logger;
  #tail: Promise<void> = Promise.resolve();
  #size = 0;
  #current = '';

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Generations that run or wait, those that were aborted but still occupy the machine included. */
  get size(): number {
    return this.#size;
  }

  /** Name of the generation that has its turn; empty when none has. */
  get current(): string {
    return this.#current;
  }

  /** Resolves when everything that was started so far has come to its end. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  /**
   * Waits for its turn, then starts `work`.
   *
   * Rejects with `ABORTED` as soon as the signal aborts, in the queue or at work; the turn is given back only when
   * `work` has settled, so `work` owns the clean-up of what it made.
   *
   * @param name - What it is, for operators.
   * @throws KmsError `ABORTED`, or what `work` throws.
   */
  async run<T>(name: string, signal: AbortSignal, work: (turn: Turn) => Promise<T>): Promise<T> {
    if (signal.aborted) throw aborted();
    const stopped = Promise.withResolvers<never>();
    const onAbort = () => stopped.reject(aborted());
    signal.addEventListener('abort', onAbort, { once: true });
    const turn: Turn = {
      commit: () => {
        if (signal.aborted) throw aborted();
        signal.removeEventListener('abort', onAbort);
      },
    };
    const before = this.#tail;
    this.#size += 1;
    const done = before
      .then(() => {
        if (signal.aborted) throw aborted();
        this.#current = name;
        return this.#logged(name, () => work(turn));
      })
      .finally(() => {
        this.#current = '';
        this.#size -= 1;
      });
    this.#tail = done.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await Promise.race([done, stopped.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #logged<T>(generation: string, work: () => Promise<T>): Promise<T> {
    const startedMs = this.#clock.monotonicMs();
    const ms = () => Math.round(this.#clock.monotonicMs() - startedMs);
    this.#log.info({ event: 'generation.started', generation });
    try {
      const result = await work();
      this.#log.info({ event: 'generation.done', generation, ms: ms() });
      return result;
    } catch (error) {
      this.#log.warn({ event: 'generation.failed', generation, ms: ms(), err: error });
      throw error;
    }
  }
}

/** The answer to a generation that was told to stop. */
export function aborted(): KmsError {
  return new KmsError('ABORTED', 'the generation was aborted');
}
