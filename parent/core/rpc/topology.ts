/**
 * Contexts and epochs that a centralized node knows: the defaults, and those that were made by request.
 */
import { KmsError } from '../../../common/errors.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import type { RequestEntry, RequestStore } from '../store/request-store.ts';

/** Look-ups of contexts and epochs. */
export interface Topology {
  hasContext(contextId: string): boolean;
  hasEpoch(epochId: string): boolean;
  /** @throws {@link KmsError} `NOT_FOUND` naming the one that is unknown. */
  require(contextId: string, epochId: string): void;
  /** Ids of the contexts that exist. */
  contexts(): string[];
  /** Ids of the epochs that exist in a context. */
  epochsOf(contextId: string): string[];
}

/** Opens the look-ups over a store. */
export function openTopology(store: RequestStore): Topology {
  const has = (kind: 'context' | 'epoch', id: string, byDefault: string): boolean => {
    const entry = store.find(kind, id);
    return entry ? entry.state === 'done' : id === byDefault;
  };
  const hasContext = (id: string): boolean => has('context', id, DEFAULT_CONTEXT_ID);
  const hasEpoch = (id: string): boolean => has('epoch', id, DEFAULT_EPOCH_ID);
  const idsOf = (kind: 'context' | 'epoch', test: (entry: RequestEntry) => boolean): string[] =>
    [...store.entries(kind)].filter((entry) => entry.state === 'done' && test(entry)).map((entry) => entry.id);

  return {
    hasContext,
    hasEpoch,
    require(contextId, epochId) {
      if (!hasContext(contextId)) throw new KmsError('NOT_FOUND', 'this node knows no such context', { contextId });
      if (!hasEpoch(epochId)) throw new KmsError('NOT_FOUND', 'this node knows no such epoch', { epochId });
    },
    contexts() {
      const made = idsOf('context', () => true);
      const unmade = !store.find('context', DEFAULT_CONTEXT_ID);
      return unmade ? [DEFAULT_CONTEXT_ID, ...made] : made;
    },
    epochsOf(contextId) {
      const made = idsOf('epoch', (entry) => entry.contextId === contextId);
      const unmade = contextId === DEFAULT_CONTEXT_ID && !store.find('epoch', DEFAULT_EPOCH_ID);
      return unmade ? [DEFAULT_EPOCH_ID, ...made] : made;
    },
  };
}
