/**
 * `NewMpcContext` and `DestroyMpcContext` of a threshold node: the engine checks, asks governance, stores and erases.
 * Spec: kms-service 1.6, 2.7.
 */
import { KmsError } from '../../../common/errors.ts';
import { DestroyMpcContextRequestSchema, NewMpcContextRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { parseDestroyMpcContext, parseNewMpcContext } from '../../../wire/validate/context.ts';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import { EMPTY, noteId, type Rpc } from './method.ts';
import { type QuorumMpcDeps, retireEpoch } from './quorum-epochs.ts';

/** `NewMpcContext`: takes effect once governance has approved it, by the engine's own look. */
export function quorumContextRpc(deps: QuorumMpcDeps): Rpc {
  const { engine, engineTimeoutMs: timeoutMs, topology, lifecycle, log } = deps;
  return {
    operation: 'new_mpc_context',
    async handle(body, call) {
      const message = decodeControl(NewMpcContextRequestSchema, body);
      noteId(call, message.newContext?.contextId);
      const { contextId } = parseNewMpcContext(message);
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      if (topology.hasContext(contextId)) {
        throw new KmsError('ALREADY_EXISTS', 'this context exists', { id: contextId });
      }
      const release = lifecycle.lease(contextId, false);
      try {
        // Not cut short by a client who leaves: half a change is none.
        await engine.call(ENGINE_METHOD.newContext, body, { timeoutMs });
        await engine.refreshInfo();
      } finally {
        release();
      }
      log.info({ event: 'context.recorded', requestId: contextId });
      return EMPTY;
    },
  };
}

/** `DestroyMpcContext`: its epochs go first, with their masks and shares. */
export function destroyQuorumContextRpc(deps: QuorumMpcDeps): Rpc {
  const { engine, engineTimeoutMs: timeoutMs, topology, lifecycle, log } = deps;
  return {
    operation: 'destroy_mpc_context',
    async handle(body, call) {
      const message = decodeControl(DestroyMpcContextRequestSchema, body);
      noteId(call, message.contextId);
      const contextId = parseDestroyMpcContext(message);
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      if (!topology.hasContext(contextId)) {
        throw new KmsError('NOT_FOUND', 'this node knows no such context', { contextId });
      }
      if (topology.contexts().length === 1) {
        throw new KmsError('PRECONDITION_FAILED', 'the last context cannot be destroyed', { contextId });
      }
      const release = lifecycle.lease(contextId, false);
      try {
        const epochIds = topology.epochsOf(contextId);
        const response = await engine.call(ENGINE_METHOD.destroyContext, body, { timeoutMs });
        await engine.refreshInfo();
        for (const epochId of epochIds) await retireEpoch(deps, { contextId, epochId });
        log.info({ event: 'context.destroyed', requestId: contextId, epochs: epochIds.length });
        return response;
      } finally {
        release();
      }
    },
  };
}
