/**
 * Work for the native thread pool that is handed over in batches: one way there and back costs the event loop 14 µs, as
 * much as a signature, and threads that take requests one by one push each other's keys out of the caches.
 *
 * Nothing waits in order to be gathered, unless `begin` says so: work leaves at once while a thread is free, and together
 * once all are taken.
 */

/** What became of one piece of work of a batch. */
export type Outcome<Result> = { readonly result: Result } | { readonly error: unknown };

/** How work is gathered. */
export interface GatheringOptions<Work, Result> {
  /** Batches under way at any time: as many as threads. */
  readonly atATime: number;
  /** Most pieces in a batch. */
  readonly most: number;
  /** Calls its argument when a batch may leave after a time without any; at once by default. */
  readonly begin?: (leave: () => void) => void;
  /** Does a batch; outcomes stand in its order. If it rejects, all of the batch fails. */
  readonly run: (batch: readonly Work[]) => Promise<readonly Outcome<Result>[]>;
}

interface Waiting<Work, Result> {
  readonly work: Work;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** See the file comment. */
export class Gathering<Work, Result> {
  readonly #options: GatheringOptions<Work, Result>;
  readonly #waiting: Waiting<Work, Result>[] = [];
  #running = 0;

  constructor(options: GatheringOptions<Work, Result>) {
    this.#options = options;
  }

  /** Does one piece of work; rejects if that piece fails, whatever becomes of others. */
  add(work: Work): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#waiting.push({ work, resolve, reject });
    const { atATime, begin = (leave) => leave() } = this.#options;
    if (this.#running < atATime) {
      this.#running += 1;
      begin(() => void this.#next());
    }
    return promise;
  }

  async #next(): Promise<void> {
    const { atATime, most, run } = this.#options;
    while (this.#waiting.length > 0) {
      // No thread takes what another could begin with sooner.
      const batch = this.#waiting.splice(0, Math.min(most, Math.ceil(this.#waiting.length / atATime)));
      try {
        const outcomes = await run(batch.map(({ work }) => work));
        for (const [at, { resolve, reject }] of batch.entries()) {
          const outcome = outcomes[at];
          if (outcome && 'result' in outcome) resolve(outcome.result);
          else reject(outcome?.error);
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running -= 1;
  }
}
