/**
 * `KeyGen`, its insecure form and their results. Spec: kms-service 1.6, 2.5.
 */
import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import { KeyGenCallSchema } from '../../../proto/gen/engine_pb.js';
import { KeyGenRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { type KeyGen, type KeysetPlan, parseKeyGen } from '../../../wire/validate/generation.ts';
import type { Operation } from '../metrics/core-metrics.ts';
import type { RequestEntry } from '../store/request-store.ts';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import type { RpcDeps } from './deps.ts';
import { runGeneration } from './generation-runner.ts';
import type { KeyMaterial } from './key-material.ts';
import { EMPTY, noteId, type Rpc } from './method.ts';
import { requireGeneration, requireSameForm } from './quorum-generation.ts';
import { decodeId, requireRequest, resultOf } from './results.ts';
import type { RunningJobs } from './running-jobs.ts';
import type { Topology } from './topology.ts';

/** What generations need beside the common things. */
export interface GenerationDeps extends RpcDeps {
  readonly material: KeyMaterial;
  readonly topology: Topology;
  readonly jobs: RunningJobs;
}

/** `KeyGen` or `InsecureKeyGen`. */
export function keyGenRpc(deps: GenerationDeps, insecure: boolean): Rpc {
  const { store } = deps;
  return {
    operation: insecure ? 'insecure_keygen_request' : 'keygen_request',
    limited: 'keygen',
    async handle(body, call) {
      const message = decodeControl(KeyGenRequestSchema, body);
      noteId(call, message.requestId);
      const request = parseKeyGen(message, deps.keccak);
      const { requestId: id, contextId, epochId, preprocId } = request;
      requireSameForm(deps, store.find('preproc', preprocId), insecure);
      requireGeneration(deps, insecure);
      requireNew(deps, request);
      const preproc = requirePreprocessing(deps, preprocId);
      requireKeysOf(deps.material, request);
      if (deps.engine.state !== 'connected') throw engineAway(deps.engine.reason);

      const preprocRequest = store.body(preproc) ?? new Uint8Array(0);
      const engineCall = create(KeyGenCallSchema, { request: body, preprocRequest, insecure });
      const digest = hash('sha256', body, 'hex');
      const entry = store.begin({ kind: 'keygen', id, digest, contextId, epochId, insecure });
      const permit = call.takePermit();
      try {
        // One transaction: a preprocessing is used up if and only if the generation that uses it is known.
        await Promise.all([store.acknowledge(entry), store.consume(preproc, id)]);
      } catch (error) {
        permit.release();
        throw error;
      }
      // Nobody waits for it, and it never rejects: its outcome is stored.
      void runGeneration(deps, {
        entry,
        call: { method: ENGINE_METHOD.keyGen, body: toBinary(KeyGenCallSchema, engineCall) },
        permit,
        operation: operationOf(request.keyset, insecure),
      });
      return EMPTY;
    },
  };
}

/** `GetKeyGenResult` or its insecure form. */
export function keyGenResultRpc({ store, material }: GenerationDeps, insecure: boolean): Rpc {
  return {
    operation: insecure ? 'insecure_keygen_result' : 'keygen_result',
    async handle(body, call) {
      const id = decodeId(body, call);
      const entry = store.find('keygen', id);
      // The engine's word counts: the store may be younger than the key, and a later generation may have given the key
      // other objects (`copy_compressed_key_to_original`).
      const kept = !entry || entry.state === 'done' ? material.keyResult(id) : undefined;
      return kept ?? (await resultOf(store, requireRequest(store, 'keygen', id), 0, call.signal));
    },
  };
}

function requireNew({ store, material, topology, engine }: GenerationDeps, request: KeyGen): void {
  const { requestId: id, contextId, epochId } = request;
  if (store.find('keygen', id)) throw new KmsError('ALREADY_EXISTS', 'this id is known', { id });
  if (engine.info() === undefined) throw engineAway(engine.reason);
  topology.require(contextId, epochId);
  if (material.hasKey(id, epochId)) throw new KmsError('ALREADY_EXISTS', 'this key exists', { id });
}

/** Finds the preprocessing that a key generation is to use up. */
function requirePreprocessing({ store }: RpcDeps, preprocId: string): RequestEntry {
  const entry = store.find('preproc', preprocId);
  if (!entry || entry.state === 'deleted') {
    throw new KmsError('NOT_FOUND', 'this node knows no such preprocessing', { preprocId });
  }
  if (entry.state === 'running') throw new KmsError('UNAVAILABLE', 'the preprocessing is still running', { preprocId });
  if (entry.consumedBy !== undefined) {
    throw new KmsError('ALREADY_EXISTS', 'another key generation has used this preprocessing', { preprocId });
  }
  if (entry.state === 'failed') throw new KmsError('NOT_FOUND', 'this preprocessing has failed', { preprocId });
  return entry;
}

/** Keys that the generation builds on must be there. */
function requireKeysOf(material: KeyMaterial, { keyset, epochId }: KeyGen): void {
  if (keyset.kind === 'use-existing') material.requireKey(keyset.existingKeyId, epochId);
  if (keyset.kind === 'decompression-only') {
    material.requireKey(keyset.fromKeyId, epochId);
    material.requireKey(keyset.toKeyId, epochId);
  }
}

function operationOf(keyset: KeysetPlan, insecure: boolean): Operation {
  if (keyset.kind === 'decompression-only') return insecure ? 'insecure_decompression_keygen' : 'decompression_keygen';
  if (keyset.compressed) return insecure ? 'insecure_standard_compressed_keygen' : 'standard_compressed_keygen';
  return insecure ? 'insecure_standard_keygen' : 'standard_keygen';
}
