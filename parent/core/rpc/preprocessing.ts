/**
 * `KeyGenPreproc`, its partial and insecure forms, and their results.
 *
 * A centralized node computes nothing: the engine signs the id, and so does a threshold node's for the insecure form.
 * The request is kept until a key generation uses it up.
 * Spec: kms-service 1.6.
 */
import { hash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import { KeyGenPreprocRequestSchema, PartialKeyGenPreprocRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import {
  type KeyGenPreproc,
  parseKeyGenPreproc,
  parsePartialKeyGenPreproc,
} from '../../../wire/validate/generation.ts';
import type { Background } from './background.ts';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import type { RpcDeps } from './deps.ts';
import { EMPTY, noteId, type Rpc, type RpcCall } from './method.ts';
import { requireGeneration } from './quorum-generation.ts';
import { decodeId, requireRequest, resultOf, settledWithin } from './results.ts';
import type { RunningJobs } from './running-jobs.ts';
import type { Topology } from './topology.ts';

/** What preprocessings need beside the common things. */
export interface PreprocessingDeps extends RpcDeps {
  readonly background: Background;
  readonly topology: Topology;
  readonly jobs: RunningJobs;
}

/** `KeyGenPreproc` or `InsecureKeyGenPreproc`. */
export function preprocessingRpc(deps: PreprocessingDeps, insecure: boolean): Rpc {
  return {
    operation: insecure ? 'insecure_keygen_preproc_request' : 'keygen_preproc_request',
    limited: 'preproc',
    async handle(body, call) {
      const message = decodeControl(KeyGenPreprocRequestSchema, body);
      noteId(call, message.requestId);
      return await start(deps, { request: parseKeyGenPreproc(message, deps.keccak), body, insecure }, call);
    },
  };
}

/** `PartialKeyGenPreproc`: on a centralized node all of the work is none, so a part of it is the same. */
export function partialPreprocessingRpc(deps: PreprocessingDeps): Rpc {
  return {
    operation: 'keygen_preproc_request',
    limited: 'preproc',
    async handle(partialBody, call) {
      const message = decodeControl(PartialKeyGenPreprocRequestSchema, partialBody);
      noteId(call, message.baseRequest?.requestId);
      const { base } = parsePartialKeyGenPreproc(message, deps.keccak);
      if (!message.baseRequest) throw new KmsError('REQUEST_INVALID', 'base_request is missing');
      const body = toBinary(KeyGenPreprocRequestSchema, message.baseRequest);
      return await start(deps, { request: base, body, insecure: false }, call);
    },
  };
}

/** `GetKeyGenPreprocResult` or its insecure form. On a threshold node it is gone once a key generation has used it. */
export function preprocessingResultRpc({ store, threshold, waits }: RpcDeps, insecure: boolean): Rpc {
  return {
    operation: insecure ? 'insecure_keygen_preproc_result' : 'keygen_preproc_result',
    async handle(body, call) {
      const entry = requireRequest(store, 'preproc', decodeId(body, call));
      if (entry.insecure !== insecure) {
        throw new KmsError('PRECONDITION_FAILED', `this preprocessing is ${entry.insecure ? 'insecure' : 'secure'}`);
      }
      if (threshold && entry.consumedBy !== undefined) {
        throw new KmsError('NOT_FOUND', 'a key generation has used this preprocessing up', { keyId: entry.consumedBy });
      }
      return await resultOf(store, entry, threshold ? waits.preprocessingMs : 0, call.signal);
    },
  };
}

interface Start {
  readonly request: KeyGenPreproc;
  /** Encoded KeyGenPreprocRequest. */
  readonly body: Uint8Array;
  readonly insecure: boolean;
}

async function start(deps: PreprocessingDeps, { request, body, insecure }: Start, call: RpcCall): Promise<Uint8Array> {
  const { store, engine, topology, background, jobs, waits, threshold } = deps;
  requireGeneration(deps, insecure);
  const { requestId: id, contextId, epochId } = request;
  if (store.find('preproc', id)) throw new KmsError('ALREADY_EXISTS', 'this id is known', { id });
  topology.require(contextId, epochId);
  if (engine.state !== 'connected') throw engineAway(engine.reason);
  const entry = store.begin({ kind: 'preproc', id, digest: hash('sha256', body, 'hex'), contextId, epochId, insecure });
  const permit = call.takePermit();
  const releaseBody = call.keepBody();
  const stored = store.acknowledge(entry, body);
  const work = jobs.run(entry, (signal) =>
    background.run({ entry, method: ENGINE_METHOD.keyGenPreproc, body, permit, releaseBody, signal }),
  );
  // Its outcome is stored, and what it throws means that the node stops.
  work.catch(() => undefined);
  await stored;
  if (!threshold) await settledWithin(work, waits.recordMs, call.signal);
  return EMPTY;
}
