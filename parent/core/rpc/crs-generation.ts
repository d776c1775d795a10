/**
 * `CrsGen`, its insecure form and their results. Spec: kms-service 1.6, 2.6.
 */
import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import { CrsGenCallSchema } from '../../../proto/gen/engine_pb.js';
import { CrsGenRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { parseCrsGen } from '../../../wire/validate/generation.ts';
import { decodeControl } from './decode.ts';
import { engineAway } from './decryptions.ts';
import { runGeneration } from './generation-runner.ts';
import type { GenerationDeps } from './key-generation.ts';
import { EMPTY, noteId, type Rpc } from './method.ts';
import { requireGeneration } from './quorum-generation.ts';
import { decodeId, requireRequest, resultOf } from './results.ts';

/** `CrsGen` or `InsecureCrsGen`. */
export function crsGenRpc(deps: GenerationDeps, insecure: boolean): Rpc {
  const { store, engine, topology, material } = deps;
  return {
    operation: insecure ? 'insecure_crs_gen_request' : 'crs_gen_request',
    limited: 'crsgen',
    async handle(body, call) {
      const message = decodeControl(CrsGenRequestSchema, body);
      noteId(call, message.requestId);
      const { requestId: id, contextId, epochId } = parseCrsGen(message, deps.keccak);
      requireGeneration(deps, insecure);
      if (store.find('crsgen', id)) throw new KmsError('ALREADY_EXISTS', 'this id is known', { id });
      if (engine.info() === undefined) throw engineAway(engine.reason);
      topology.require(contextId, epochId);
      if (material.hasCrs(id, epochId)) throw new KmsError('ALREADY_EXISTS', 'this CRS exists', { id });
      if (engine.state !== 'connected') throw engineAway(engine.reason);

      const digest = hash('sha256', body, 'hex');
      const entry = store.begin({ kind: 'crsgen', id, digest, contextId, epochId, insecure });
      const permit = call.takePermit();
      try {
        await store.acknowledge(entry);
      } catch (error) {
        permit.release();
        throw error;
      }
      const engineCall = create(CrsGenCallSchema, { request: body, insecure });
      // Nobody waits for it, and it never rejects: its outcome is stored.
      void runGeneration(deps, {
        entry,
        call: { method: ENGINE_METHOD.crsGen, body: toBinary(CrsGenCallSchema, engineCall) },
        permit,
        operation: undefined,
      });
      return EMPTY;
    },
  };
}

/** `GetCrsGenResult` or its insecure form. */
export function crsGenResultRpc({ store, material }: GenerationDeps, insecure: boolean): Rpc {
  return {
    operation: insecure ? 'insecure_crs_gen_result' : 'crs_gen_result',
    async handle(body, call) {
      const id = decodeId(body, call);
      // A CRS that the engine holds has a result even where the request store is younger than the CRS.
      const kept = store.find('crsgen', id) ? undefined : material.crsResult(id);
      return kept ?? (await resultOf(store, requireRequest(store, 'crsgen', id), 0, call.signal));
    },
  };
}
