/**
 * `NewMpcEpoch`, `GetEpochResult` and `DestroyMpcEpoch` of a threshold node. Making an epoch takes all parties of its
 * context, so it runs in the background: the row in the store says how it ends, the engine's word says what exists.
 * Spec: kms-service 1.6, 2.8.
 */
import { hash } from 'node:crypto';
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { DestroyMpcEpochRequestSchema, NewMpcEpochRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { requiredId } from '../../../wire/validate/common.ts';
import { parseNewMpcEpoch } from '../../../wire/validate/context.ts';
import type { Permit } from '../limits/rate-limiter.ts';
import type { Outcome, RequestEntry } from '../store/request-store.ts';
import { failure } from './background.ts';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import type { RpcDeps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import { EMPTY, noteId, type Rpc } from './method.ts';
import { retire } from './mpc.ts';
import { unsettled } from './quorum-topology.ts';
import { decodeId, requireRequest, resultOf } from './results.ts';
import type { Topology } from './topology.ts';

/** What contexts and epochs of a quorum need beside the common things. */
export interface QuorumMpcDeps extends RpcDeps {
  readonly topology: Topology;
  readonly lifecycle: Lifecycle;
}

/** Two empty lists: nothing was reshared. */
const NOTHING_RESHARED = EMPTY;

/** `NewMpcEpoch`: acknowledged once it is recorded. An epoch that failed may be asked for again under its id. */
export function newQuorumEpochRpc(deps: QuorumMpcDeps): Rpc {
  const { store, engine, topology, lifecycle } = deps;
  return {
    operation: 'new_mpc_epoch',
    limited: 'new_epoch',
    async handle(body, call) {
      const message = decodeControl(NewMpcEpochRequestSchema, body);
      noteId(call, message.epochId);
      const { epochId: id, contextId, previous } = parseNewMpcEpoch(message, deps.keccak);
      if (previous) throw new KmsError('UNIMPLEMENTED', 'resharing is not part of this release');
      const info = engine.info();
      if (info === undefined) throw engineAway(engine.reason);
      if (!info.threshold?.settled) throw unsettled();
      if (topology.hasEpoch(id)) throw new KmsError('REQUEST_INVALID', 'this epoch exists', { id });
      const known = store.find('epoch', id);
      if (known?.state === 'running') throw new KmsError('ALREADY_EXISTS', 'this epoch is being made', { id });
      if (known?.state === 'deleted') throw new KmsError('ALREADY_EXISTS', 'this epoch was destroyed', { id });
      if (!topology.hasContext(contextId)) {
        throw new KmsError('NOT_FOUND', 'this node knows no such context', { contextId });
      }
      if (engine.state !== 'connected') throw engineAway(engine.reason);

      const release = lifecycle.lease(contextId, true);
      try {
        if (known) await store.remove(known);
        const entry = store.begin({ kind: 'epoch', id, digest: hash('sha256', body, 'hex'), contextId, epochId: id });
        await store.acknowledge(entry);
        // Nobody waits for it, and it never rejects: its outcome is stored.
        void make(deps, entry, { body, permit: call.takePermit(), keptBody: call.keepBody() }).finally(release);
      } catch (error) {
        release();
        throw error;
      }
      return EMPTY;
    },
  };
}

/** `GetEpochResult`: two empty lists for an epoch that exists, however it came about; one being made is waited for. */
export function epochResultRpc({ store, engine, topology, waits }: QuorumMpcDeps): Rpc {
  return {
    operation: 'get_mpc_epoch_result',
    async handle(body, call) {
      const id = decodeId(body, call);
      if (topology.hasEpoch(id)) return NOTHING_RESHARED;
      const info = engine.info();
      if (info === undefined) throw engineAway(engine.reason);
      if (id === DEFAULT_EPOCH_ID && !info.threshold?.settled) {
        throw unsettled();
      }
      const entry = requireRequest(store, 'epoch', id);
      if (entry.state === 'done') throw new KmsError('NOT_FOUND', 'the engine no longer has this epoch', { id });
      return await resultOf(store, entry, waits.resultMs, call.signal);
    },
  };
}

/** `DestroyMpcEpoch`: its masks and shares are erased; its id cannot be used again. */
export function destroyQuorumEpochRpc(deps: QuorumMpcDeps): Rpc {
  const { store, engine, engineTimeoutMs: timeoutMs, topology, lifecycle } = deps;
  return {
    operation: 'destroy_mpc_epoch',
    async handle(body, call) {
      const message = decodeControl(DestroyMpcEpochRequestSchema, body);
      noteId(call, message.epochId);
      const epochId = requiredId(message.epochId, 'epoch_id');
      if (store.find('epoch', epochId)?.state === 'running') {
        throw new KmsError('PRECONDITION_FAILED', 'this epoch is being made', { epochId });
      }
      if (engine.state !== 'connected') throw engineAway(engine.reason);
      const contexts = topology.contexts();
      const contextId = contexts.find((id) => topology.epochsOf(id).includes(epochId));
      if (contextId === undefined) throw new KmsError('NOT_FOUND', 'this node knows no such epoch', { epochId });
      if (contexts.flatMap((id) => topology.epochsOf(id)).length === 1) {
        throw new KmsError('PRECONDITION_FAILED', 'the last epoch cannot be destroyed', { epochId });
      }
      const release = lifecycle.lease(contextId, false);
      try {
        // Not cut short by a client who leaves: half a change is none.
        await engine.call(ENGINE_METHOD.destroyEpoch, body, { timeoutMs });
        await engine.refreshInfo();
        await retireEpoch(deps, { contextId, epochId });
      } finally {
        release();
      }
      return EMPTY;
    },
  };
}

/** Keeps the id of an epoch that is gone from being used again. */
export async function retireEpoch(
  deps: RpcDeps,
  { contextId, epochId }: { readonly contextId: string; readonly epochId: string },
): Promise<void> {
  await retire(deps, { kind: 'epoch', id: epochId, contextId, epochId });
}

/** After a restart: what was being made exists now, or will not. */
export async function settleInterruptedEpoch({ store, topology }: QuorumMpcDeps, entry: RequestEntry): Promise<void> {
  await store.settle(entry, topology.hasEpoch(entry.id) ? DONE : INTERRUPTED);
}

const DONE: Outcome = { state: 'done', response: NOTHING_RESHARED };
const INTERRUPTED: Outcome = {
  state: 'failed',
  code: 'TASK_FAILED',
  reason: 'interrupted by a restart: ask all parties for the epoch again',
};

interface Making {
  readonly body: Uint8Array;
  readonly permit: Permit;
  /** Lets the body go. */
  readonly keptBody: () => void;
}

/** Makes an epoch and stores how it ended. Never rejects. */
async function make(deps: QuorumMpcDeps, entry: RequestEntry, { body, permit, keptBody }: Making): Promise<void> {
  const { store, engine, log, clock } = deps;
  const { id, contextId } = entry;
  const startedMs = clock.monotonicMs();
  log.info({ event: 'epoch.started', requestId: id, contextId });
  try {
    await engine.call(ENGINE_METHOD.newEpoch, body);
    await engine.refreshInfo();
    await store.settle(entry, DONE);
    log.info({ event: 'epoch.done', requestId: id, ms: Math.round(clock.monotonicMs() - startedMs) });
    keptBody();
  } catch (error) {
    const outcome = await outcomeOf(deps, error, entry);
    if (outcome) await store.settle(entry, outcome);
  } finally {
    permit.release();
  }
}

/**
 * How the making of an epoch ended. An engine that went away meanwhile may have stored it before.
 *
 * @returns Undefined when the node stops: the next start looks at what the engine has.
 */
async function outcomeOf(deps: QuorumMpcDeps, error: unknown, entry: RequestEntry): Promise<Outcome | undefined> {
  const { engine, stopping, topology } = deps;
  try {
    if (isKmsError(error, 'UNAVAILABLE') && engineLeft(error)) await engine.whenConnected(stopping);
  } catch {
    return undefined; // whenConnected rejects when the node stops, and else not
  }
  if (stopping.aborted) return undefined;
  return topology.hasEpoch(entry.id) ? DONE : failure(deps, error, entry);
}

function engineLeft({ facts }: KmsError): boolean {
  return facts.reason === 'engine stopped' || facts.reason === 'engine down';
}
