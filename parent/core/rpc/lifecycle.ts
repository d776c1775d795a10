/**
 * Which contexts are in use by a change that takes time, so that no two changes of one context meet. Spec: kms-service 1.6.
 */
import { KmsError } from '../../../common/errors.ts';

/** Leases of contexts. */
export interface Lifecycle {
  /**
   * Takes a context for a change: `shared` by epochs that are being made in it, alone by what destroys.
   *
   * @returns What ends the lease.
   * @throws KmsError `PRECONDITION_FAILED` while another change stands in the way.
   */
  lease(contextId: string, shared: boolean): () => void;
}

/** Opens an empty list of leases. */
export function openLifecycle(): Lifecycle {
  const making = new Map<string, number>();
  const destroying = new Set<string>();
  return {
    lease(contextId, shared) {
      if (destroying.has(contextId)) {
        throw new KmsError('PRECONDITION_FAILED', 'this context is being changed', { contextId });
      }
      const count = making.get(contextId) ?? 0;
      if (!shared && count > 0) {
        throw new KmsError('PRECONDITION_FAILED', 'an epoch is being made in this context', { contextId });
      }
      if (shared) making.set(contextId, count + 1);
      else destroying.add(contextId);
      let ended = false;
      return () => {
        if (ended) return;
        ended = true;
        if (!shared) destroying.delete(contextId);
        else {
          const left = (making.get(contextId) ?? 1) - 1;
          if (left > 0) making.set(contextId, left);
          else making.delete(contextId);
        }
      };
    },
  };
}
