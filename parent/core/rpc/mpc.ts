/**
 * MPC contexts and epochs, as far as a centralized node has them: checked, recorded, and looked up by other requests.
 * Spec: kms-service 1.6, 2.7, 2.8.
 */
import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import {
  DestroyMpcContextRequestSchema,
  DestroyMpcContextResponseSchema,
  NewMpcContextRequestSchema,
  NewMpcEpochRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { parseDestroyMpcContext, parseNewMpcContext, parseNewMpcEpoch } from '../../../wire/validate/context.ts';
import type { RequestKind } from '../store/request-store.ts';
import { requireApproval } from './approval.ts';
import { decodeControl } from './decode.ts';
import type { RpcDeps } from './deps.ts';
import { EMPTY, noteId, type Rpc } from './method.ts';
import type { Topology } from './topology.ts';

/** What these RPCs need beside the common things. */
export interface MpcDeps extends RpcDeps {
  readonly topology: Topology;
}

/** `NewMpcContext`: takes effect once governance has approved it. */
export function newMpcContextRpc(deps: MpcDeps): Rpc {
  return {
    operation: 'new_mpc_context',
    async handle(body, call) {
      const message = decodeControl(NewMpcContextRequestSchema, body);
      noteId(call, message.newContext?.contextId);
      const { contextId } = parseNewMpcContext(message);
      if (deps.topology.hasContext(contextId)) {
        throw new KmsError('ALREADY_EXISTS', 'this context exists', { id: contextId });
      }
      await requireApproval(deps, 'context', body);
      await record(deps, { kind: 'context', id: contextId, contextId, epochId: '' }, body);
      return EMPTY;
    },
  };
}

/**
 * `DestroyMpcContext`: the context and its epochs are refused from here on; their ids cannot be used again.
 *
 * Repeating a call that failed half way goes on where it stopped.
 */
export function destroyMpcContextRpc(deps: MpcDeps): Rpc {
  const { topology } = deps;
  return {
    operation: 'destroy_mpc_context',
    async handle(body, call) {
      const message = decodeControl(DestroyMpcContextRequestSchema, body);
      noteId(call, message.contextId);
      const contextId = parseDestroyMpcContext(message);
      if (!topology.hasContext(contextId)) {
        throw new KmsError('NOT_FOUND', 'this node knows no such context', { contextId });
      }
      if (topology.contexts().length === 1) {
        throw new KmsError('PRECONDITION_FAILED', 'the last context cannot be destroyed', { contextId });
      }
      const epochIds = topology.epochsOf(contextId);
      for (const epochId of epochIds) await retire(deps, { kind: 'epoch', id: epochId, contextId, epochId });
      await retire(deps, { kind: 'context', id: contextId, contextId, epochId: '' });
      const response = create(DestroyMpcContextResponseSchema, {
        epochIds: epochIds.map((requestId) => ({ requestId })),
      });
      return toBinary(DestroyMpcContextResponseSchema, response);
    },
  };
}

/**
 * `NewMpcEpoch`: a centralized node shares nothing, so it records the id, once. An epoch that takes over keys of another
 * needs governance's approval, as it does where they are shared.
 */
export function newMpcEpochRpc(deps: MpcDeps): Rpc {
  const { store, topology } = deps;
  return {
    operation: 'new_mpc_epoch',
    limited: 'new_epoch',
    async handle(body, call) {
      const message = decodeControl(NewMpcEpochRequestSchema, body);
      noteId(call, message.epochId);
      const { epochId, contextId, previous } = parseNewMpcEpoch(message, deps.keccak);
      if (store.find('epoch', epochId)) throw new KmsError('ALREADY_EXISTS', 'this epoch is known', { id: epochId });
      if (!topology.hasContext(contextId)) {
        throw new KmsError('NOT_FOUND', 'this node knows no such context', { contextId });
      }
      if (previous) await requireApproval(deps, 'epoch', body);
      await record(deps, { kind: 'epoch', id: epochId, contextId, epochId }, body);
      return EMPTY;
    },
  };
}

/** What a centralized node cannot do: it has no epochs of its own making. The published one crashes here. */
export function epochsUnimplementedRpc(operation: 'get_mpc_epoch_result' | 'destroy_mpc_epoch'): Rpc {
  return {
    operation,
    handle: async () => {
      throw new KmsError('UNIMPLEMENTED', 'a centralized node has no such operation');
    },
  };
}

/** A context or an epoch, as a row of the store. */
export interface Place {
  readonly kind: Extract<RequestKind, 'context' | 'epoch'>;
  readonly id: string;
  readonly contextId: string;
  readonly epochId: string;
}

async function record({ store, log }: RpcDeps, place: Place, body: Uint8Array): Promise<void> {
  const entry = store.begin({ ...place, digest: hash('sha256', body, 'hex') });
  await store.acknowledge(entry, place.kind === 'context' ? body : undefined);
  await store.settle(entry, { state: 'done', response: EMPTY });
  log.info({ event: `${place.kind}.recorded`, requestId: place.id });
}

/** Retires a context or an epoch; one that exists by default has no row yet, and gets one that says so. */
export async function retire(deps: RpcDeps, place: Place): Promise<void> {
  const { store, log } = deps;
  if (!store.find(place.kind, place.id)) await record(deps, place, EMPTY);
  const entry = store.find(place.kind, place.id);
  if (entry) await store.retire(entry);
  log.info({ event: `${place.kind}.destroyed`, requestId: place.id });
}
