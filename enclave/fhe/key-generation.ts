/**
 * Key generation of a centralized node: new keys, new public objects for an existing key, decompression keys.
 *
 * The secret key lives in native memory and leaves it once, encoded, for the private vault. Order of writing: public
 * objects at the Core first, then the private object, which is what makes the key real; a generation that fails or is
 * aborted before that has made nothing. Spec: kms-service.md sections 1.6, 2.5 and 4.4.
 */

import { KmsError } from '../../common/errors.ts';
import { KeyGenCallSchema } from '../../proto/gen/engine_pb.js';
import { KeyGenPreprocRequestSchema, KeyGenRequestSchema } from '../../proto/gen/kms_pb.js';
import type { FheParams } from '../../wire/validate/common.ts';
import { type KeyGen, parseKeyGen, parseKeyGenPreproc } from '../../wire/validate/generation.ts';
import type { CallHandler, EngineCall } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import { encodeKeyGenResult } from '../sign/results.ts';
import { decompressionKeyGeneration } from './decompression-key-generation.ts';
import { type GenerationDeps, requireAllowed } from './generation-deps.ts';
import type { Turn } from './generation-queue.ts';
import { keySetGeneration } from './key-set-generation.ts';

/** A key generation that may start. */
export interface KeyGenJob {
  readonly request: KeyGen;
  readonly params: FheParams;
  readonly call: EngineCall;
  readonly turn: Turn;
}

/**
 * Answers `KeyGen`: engine.v1.KeyGenCall in, kms.v1.KeyGenResult out, public objects on the way.
 *
 * Generations run one at a time; one that waits reports the phase `queued`.
 */
export const keyGeneration = (deps: GenerationDeps): CallHandler => {
  const generateKeySet = keySetGeneration(deps);
  const generateDecompressionKey = decompressionKeyGeneration(deps);
  return async (call) => {
    const { request, params } = parseCall(deps, call);
    deps.catalogue.requireNewKey(request.epochId, request.requestId);
    if (deps.queue.size > 0) call.report({ phase: 'queued', fraction: 0, estimated: false });
    return await deps.queue.run(`key ${request.requestId}`, call.signal, async (turn) => {
      // Another generation may have made the same key meanwhile.
      deps.catalogue.requireNewKey(request.epochId, request.requestId);
      const { keyset } = request;
      const job = { request, params, call, turn };
      const metadata =
        keyset.kind === 'decompression-only'
          ? await generateDecompressionKey(job, keyset)
          : await generateKeySet(job, keyset);
      return encodeKeyGenResult(metadata);
    });
  };
};

function parseCall(deps: GenerationDeps, { body, evidence }: EngineCall): { request: KeyGen; params: FheParams } {
  const { request: requestBytes, preprocRequest, insecure } = decodeRequest(KeyGenCallSchema, body);
  const request = parseKeyGen(decodeRequest(KeyGenRequestSchema, requestBytes), deps.signer.keccak);
  const preproc = parseKeyGenPreproc(decodeRequest(KeyGenPreprocRequestSchema, preprocRequest), deps.signer.keccak);
  if (preproc.requestId !== request.preprocId) {
    throw new KmsError('REQUEST_INVALID', 'the preprocessing is not the one that preproc_id names');
  }
  const params = request.params ?? preproc.params;
  requireAllowed(deps, { insecure, params });
  deps.policy.authorize('key-generation', requestBytes, evidence);
  return { request, params };
}
