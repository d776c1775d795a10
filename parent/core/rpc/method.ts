/**
 * Wraps a handler into a gRPC method: tokens first, then the handler, then one place for errors, logs and metrics.
 */
import { isKmsError, KmsError } from '../../../common/errors.ts';
import { isRequestId, parseRequestId } from '../../../wire/ids.ts';
import type { GrpcCall, GrpcMethod } from '../../grpc/server.ts';
import type { LimitedOperation, Permit } from '../limits/rate-limiter.ts';
import { OPERATIONS, type Operation } from '../metrics/core-metrics.ts';
import type { RpcDeps } from './deps.ts';
import { statusOf } from './failures.ts';

/** Names of operations in status messages; those that the published metrics have are counted too. */
export type RpcOperation = Operation | 'health_status' | 'bandwidth_benchmark' | 'request_statuses';

/** A call as handlers see it. */
export interface RpcCall {
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
  /** The request's id as soon as it is known, for status messages and logs. */
  requestId: string | undefined;
  /** Takes the call's tokens over: who does gives them back when the work that they stand for has ended. */
  takePermit(): Permit;
  /** Keeps the body's bytes after the handler has settled; see {@link GrpcCall.keepBody}. */
  keepBody(): () => void;
}

/** An RPC: message in, message out, both encoded. */
export interface Rpc {
  readonly operation: RpcOperation;
  /** Tokens to take before anything is looked at. */
  readonly limited?: LimitedOperation;
  readonly handle: (body: Uint8Array, call: RpcCall) => Promise<Uint8Array>;
}

/** The encoded `kms.v1.Empty`. */
export const EMPTY = new Uint8Array(0);

const NO_PERMIT: Permit = { release: () => undefined };

/** What a node does that has lost its private vault, and its signing key with it. */
const WITHOUT_KEY: ReadonlySet<RpcOperation> = new Set<RpcOperation>([
  'custodian_recovery_init',
  'custodian_backup_recovery',
  'restore_from_backup',
  'fetch_pk',
  'key_material_availability',
  'health_status',
  'request_statuses',
]);

/** Makes the method of an RPC. */
export function rpcMethod(deps: RpcDeps, { operation, limited, handle }: Rpc): GrpcMethod {
  const { limiter, metrics, clock } = deps;
  const counted = OPERATIONS.find((name) => name === operation);
  return {
    kind: 'unary',
    async handle(body, grpcCall) {
      const startedMs = clock.monotonicMs();
      const call = new Call(grpcCall);
      if (counted) {
        metrics.operation(counted);
        metrics.payload(counted, body.byteLength);
      }
      try {
        if (limited) call.permit = limiter.acquire(limited);
        if (!WITHOUT_KEY.has(operation)) requireKey(deps);
        return await handle(body, call);
      } catch (error) {
        if (counted) metrics.error(counted, error);
        logFailure(deps, error, call.requestId, operation);
        throw statusOf(error, call.requestId, operation);
      } finally {
        call.permit.release();
        if (counted) metrics.observeMs(counted, clock.monotonicMs() - startedMs);
      }
    },
  };
}

function requireKey({ engine }: RpcDeps): void {
  if (!engine.info()?.awaitsRestore) return;
  throw new KmsError('PRECONDITION_FAILED', 'this node has lost its private vault: restore it from a backup');
}

class Call implements RpcCall {
  readonly #call: GrpcCall;
  requestId: string | undefined;
  permit: Permit = NO_PERMIT;

  constructor(call: GrpcCall) {
    this.#call = call;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }

  keepBody(): () => void {
    return this.#call.keepBody();
  }

  takePermit(): Permit {
    const { permit } = this;
    this.permit = NO_PERMIT;
    return permit;
  }
}

/** Notes the id of a request before it is checked, so that a refusal can name it. */
export function noteId(call: RpcCall, message: { readonly requestId: string } | undefined): void {
  if (message === undefined) return;
  if (isRequestId(message.requestId)) call.requestId = message.requestId;
  else {
    try {
      call.requestId = parseRequestId(message.requestId);
    } catch {
      // Not an id: whoever checks the request says so.
    }
  }
}

function logFailure({ log }: RpcDeps, error: unknown, requestId: string | undefined, operation: string): void {
  // What clients do wrong is per request; what we do wrong is for the operator.
  const ours = !isKmsError(error) || error.code === 'INTERNAL';
  const line = { event: 'rpc.failed', operation, requestId, err: error };
  if (ours) log.error(line);
  else log.debug(line);
}
