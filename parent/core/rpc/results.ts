/**
 * What became of a request, for those who ask: `Get…Result` and the `*Sync` calls that join a request under way.
 * Spec: kms-service 1.5.
 */
import { KmsError } from '../../../common/errors.ts';
import { RequestIdSchema } from '../../../proto/gen/kms_pb.js';
import { parseRequestId, type RequestId } from '../../../wire/ids.ts';
import type { Outcome, RequestEntry, RequestKind, RequestStore } from '../store/request-store.ts';
import { decodeControl } from './decode.ts';
import type { RpcCall } from './method.ts';

/** Decodes the `RequestId` that a `Get…Result` or an abort asks about. */
export function decodeId(body: Uint8Array, call: RpcCall): RequestId {
  const id = parseRequestId(decodeControl(RequestIdSchema, body).requestId);
  call.requestId = id;
  return id;
}

/**
 * Finds a request that may have a result.
 *
 * @throws {@link KmsError} `NOT_FOUND` if it is unknown, evicted or deleted.
 */
export function requireRequest(store: RequestStore, kind: RequestKind, id: string): RequestEntry {
  const entry = store.find(kind, id);
  if (!entry || entry.state === 'deleted') throw unknown(id);
  return entry;
}

/**
 * Returns the encoded result of a request, waiting for it as long as it may.
 *
 * @param waitMs - 0 asks for what is there now.
 * @throws {@link KmsError} `UNAVAILABLE` while it runs, `ABORTED` or `TASK_FAILED` if it has failed.
 */
export async function resultOf(
  store: RequestStore,
  entry: RequestEntry,
  waitMs: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (entry.state === 'running' && waitMs > 0) await settledWithin(store.settled(entry), waitMs, signal);
  if (entry.state === 'running') throw new KmsError('UNAVAILABLE', 'the request is still running', { id: entry.id });
  const outcome = store.outcome(entry);
  if (outcome === undefined) throw unknown(entry.id);
  return responseOf(outcome);
}

/** Returns the response of a finished request, or throws why there is none. */
export function responseOf(outcome: Outcome): Uint8Array {
  if (outcome.state === 'done') return outcome.response;
  if (outcome.code === 'ABORTED') throw new KmsError('ABORTED', outcome.reason);
  throw new KmsError('TASK_FAILED', outcome.reason, { cause: outcome.code });
}

/**
 * Waits for a promise, but no longer than this and not for a caller who left.
 *
 * @returns Whether the promise has settled.
 * @throws {@link KmsError} `CANCELLED` if the caller left.
 */
export function settledWithin(work: Promise<unknown>, waitMs: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const end = (settled: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', leave);
      resolve(settled);
    };
    const leave = (): void => {
      clearTimeout(timer);
      reject(new KmsError('CANCELLED', 'the client left'));
    };
    const timer = setTimeout(end, waitMs, false);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    work.then(
      () => end(true),
      () => end(true),
    );
  });
}

function unknown(id: string): KmsError {
  return new KmsError('NOT_FOUND', 'this node knows no such request', { id });
}
