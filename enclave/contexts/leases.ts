/**
 * Who may change which context at the moment: epochs that are being made hold their context, a change holds it alone.
 */
import { KmsError } from '../../common/errors.ts';
import type { RequestId } from '../../wire/ids.ts';

/** See the file comment. Nobody waits: who comes too early is told so. */
export class Leases {
  /** Epochs that are being made, and in which contexts. */
  readonly #made = new Map<RequestId, RequestId>();
  readonly #changed = new Set<RequestId>();

  /** Whether an epoch is being made. */
  isMade(epochId: RequestId): boolean {
    return this.#made.has(epochId);
  }

  /**
   * Makes an epoch, beside others of its context.
   *
   * @throws KmsError `ALREADY_EXISTS` while it is made, `PRECONDITION_FAILED` while its context is changed.
   */
  async make<T>(contextId: RequestId, epochId: RequestId, work: () => Promise<T>): Promise<T> {
    if (this.#made.has(epochId)) throw new KmsError('ALREADY_EXISTS', 'this epoch is being made', { epochId });
    if (this.#changed.has(contextId)) throw busy('the context is being changed', contextId);
    this.#made.set(epochId, contextId);
    try {
      return await work();
    } finally {
      this.#made.delete(epochId);
    }
  }

  /**
   * Changes a context or what is in it.
   *
   * @throws KmsError `PRECONDITION_FAILED` while an epoch is made in it, or another change is under way.
   */
  async change<T>(contextId: RequestId, work: () => Promise<T>): Promise<T> {
    if ([...this.#made.values()].includes(contextId)) throw busy('an epoch is being made in the context', contextId);
    if (this.#changed.has(contextId)) throw busy('the context is being changed', contextId);
    this.#changed.add(contextId);
    try {
      return await work();
    } finally {
      this.#changed.delete(contextId);
    }
  }
}

function busy(why: string, contextId: RequestId): KmsError {
  return new KmsError('PRECONDITION_FAILED', `${why}: try again later`, { contextId });
}
