/**
 * Contexts and epochs of a threshold node, as its engine describes them: the engine makes and keeps them, the Core looks.
 */
import { KmsError } from '../../../common/errors.ts';
import type { ThresholdInfo } from '../../../proto/gen/engine_pb.js';
import type { EngineClient } from '../engine-client/engine-client.ts';
import type { Topology } from './topology.ts';

interface Index {
  readonly info: ThresholdInfo | undefined;
  readonly contexts: ReadonlySet<string>;
  /** Context of each epoch. */
  readonly epochs: ReadonlyMap<string, string>;
}

/** Opens the look-ups over an engine. Cheap: the index is made once for each description. */
export function openQuorumTopology(engine: EngineClient): Topology {
  let index = indexOf(undefined);
  const current = (): Index => {
    const info = engine.info()?.threshold;
    if (info !== index.info) index = indexOf(info);
    return index;
  };

  return {
    hasContext: (id) => current().contexts.has(id),
    hasEpoch: (id) => current().epochs.has(id),
    require(contextId, epochId) {
      const { info, contexts, epochs } = current();
      if (epochs.get(epochId) === contextId) return;
      // What is not there yet may be an epoch that all parties are making: the client is to ask again.
      if (!info?.settled) throw unsettled();
      if (!contexts.has(contextId)) throw new KmsError('NOT_FOUND', 'this node knows no such context', { contextId });
      throw new KmsError('NOT_FOUND', 'this context has no such epoch', { contextId, epochId });
    },
    contexts: () => [...current().contexts],
    epochsOf: (contextId) => [...current().epochs].flatMap(([id, context]) => (context === contextId ? [id] : [])),
  };
}

/** The error for what needs all parties to have the first epoch. */
export function unsettled(): KmsError {
  return new KmsError('UNAVAILABLE', 'the parties have not all made the first epoch yet');
}

function indexOf(info: ThresholdInfo | undefined): Index {
  return {
    info,
    contexts: new Set(info?.contexts.map(({ contextId }) => contextId)),
    epochs: new Map(info?.epochs.map(({ epochId, contextId }) => [epochId, contextId])),
  };
}
