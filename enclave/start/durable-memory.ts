/**
 * Writes the memory of other parties into the own manifest: at once where somebody waits for it, else with the next state
 * that is written anyway, or a little later by itself.
 */
import { isKmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import type { QuorumTimers } from '../threshold/quorum-links.ts';
import type { PeerMemory } from './peer-memory.ts';

/** What it writes, and where. */
export interface DurableMemoryOptions {
  readonly memory: PeerMemory;
  readonly head: Pick<ManifestHead, 'remember' | 'advance'>;
  readonly timers: Pick<QuorumTimers, 'monotonicMs' | 'at'>;
  readonly log: Pick<Logger, 'error'>;
}

/** How long a change may be in memory alone that nobody waits for. */
const LAZY_MS = 5_000;

/** See the file comment. */
export class DurableMemory {
  readonly #options: DurableMemoryOptions;
  #queued: Promise<void> | undefined;
  #turn: Promise<void> = Promise.resolve();
  #cancel: (() => void) | undefined;

  constructor(options: DurableMemoryOptions) {
    this.#options = options;
  }

  /** Resolves once everything that is in memory now is durable. Calls that wait share one write. */
  flush(): Promise<void> {
    this.#stopWaiting();
    this.#queued ??= this.#turn.then(async () => {
      this.#queued = undefined;
      this.#stage();
      await this.#options.head.advance();
    });
    // Whoever comes next waits for the end of this one, however it ends.
    this.#turn = this.#queued.catch(() => undefined);
    return this.#queued;
  }

  /** Lets the memory go into the next state, within a few seconds. */
  flushLater(): void {
    const { timers, log } = this.#options;
    this.#stage();
    this.#cancel ??= timers.at(timers.monotonicMs() + LAZY_MS, () => {
      this.#cancel = undefined;
      this.flush().catch((err: unknown) => {
        if (!isKmsError(err)) throw err;
        log.error({ event: 'start.memory-not-kept', err });
      });
    });
  }

  /** Writes nothing more by itself; resolves once nothing is under way. */
  async close(): Promise<void> {
    this.#stopWaiting();
    await this.#turn;
  }

  #stage(): void {
    const { head, memory } = this.#options;
    head.remember(memory.encode());
  }

  #stopWaiting(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
