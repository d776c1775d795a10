/**
 * `AbortKeyGen` and `AbortCrsGen`: stop what is under way. Its ids cannot be used again. Spec: kms-service 1.6.
 */
import { KmsError } from '../../../common/errors.ts';
import type { RequestEntry } from '../store/request-store.ts';
import type { RpcDeps } from './deps.ts';
import { EMPTY, type Rpc, type RpcCall } from './method.ts';
import { decodeId, settledWithin } from './results.ts';
import type { RunningJobs } from './running-jobs.ts';

/** What aborts need beside the common things. */
export interface AbortDeps extends RpcDeps {
  readonly jobs: RunningJobs;
}

/** `AbortKeyGen`: takes the id of the preprocessing, aborts it or the key generation that uses it. */
export function abortKeyGenRpc(deps: AbortDeps): Rpc {
  const { store } = deps;
  return {
    operation: 'keygen_abort',
    async handle(body, call) {
      const preproc = store.find('preproc', decodeId(body, call));
      const consumer = preproc?.consumedBy;
      const running = preproc?.state === 'running' ? preproc : consumer && store.find('keygen', consumer);
      return await abort(deps, running || undefined, call);
    },
  };
}

/** `AbortCrsGen`: takes the id of the CRS generation. */
export function abortCrsGenRpc(deps: AbortDeps): Rpc {
  return {
    operation: 'crs_gen_abort',
    handle: async (body, call) => abort(deps, deps.store.find('crsgen', decodeId(body, call)), call),
  };
}

async function abort(deps: AbortDeps, entry: RequestEntry | undefined, call: RpcCall): Promise<Uint8Array> {
  const { store, jobs, waits, log } = deps;
  if (entry?.state !== 'running') throw nothingOngoing();
  await store.markAborting(entry);
  log.info({ event: `${entry.kind}.aborting`, requestId: entry.id });
  const ended = store.settled(entry);
  jobs.abort(entry.kind, entry.id);
  // The engine may have committed just before it hears of the abort; a client should not be told otherwise.
  await settledWithin(ended, waits.abortMs, call.signal);
  if (store.find(entry.kind, entry.id)?.state === 'done') throw nothingOngoing();
  return EMPTY;
}

function nothingOngoing(): KmsError {
  return new KmsError('NOT_FOUND', 'nothing under this id is under way');
}
