/**
 * Makes decompression keys: public objects that open what was compressed under one key to ciphertexts under another.
 */
import { KmsError } from '../../common/errors.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import type { KeyGenMetadata } from '../../wire/metadata.ts';
import type { KeysetPlan } from '../../wire/validate/generation.ts';
import { signDecompressionKey } from '../sign/results.ts';
import type { GenerationDeps } from './generation-deps.ts';
import { aborted } from './generation-queue.ts';
import type { KeyGenJob } from './key-generation.ts';
import { withEstimate } from './progress.ts';
import { digestObjects, storeObjects } from './store-objects.ts';

/** A plan whose outcome is a decompression key. */
export type DecompressionKeyPlan = Extract<KeysetPlan, { kind: 'decompression-only' }>;

const GENERATING = { phase: 'generating', from: 0, to: 0.9 };
const STORING = { from: 0.9, to: 1 };

/** Runs one job to its metadata. Both keys must be of the job's epoch and parameters. */
export const decompressionKeyGeneration =
  (deps: GenerationDeps) =>
  async ({ request, params, call, turn }: KeyGenJob, plan: DecompressionKeyPlan): Promise<KeyGenMetadata> => {
    const { native, catalogue, signer, clock, durations } = deps;
    const { epochId, requestId: keyId, preprocId: preprocessingId } = request;
    const from = catalogue.keySet(epochId, plan.fromKeyId);
    const to = catalogue.keySet(epochId, plan.toKeyId);
    if (from.params !== params || to.params !== params) {
      throw new KmsError('REQUEST_INVALID', 'params must be those of both keys', { from: from.params, to: to.params });
    }
    const kind = `decompression key ${params}`;
    const startedMs = clock.monotonicMs();
    const stretch = { ...GENERATING, expectedMs: durations.expected(kind) };
    const bytes = await withEstimate(stretch, { clock, report: call.report }, () =>
      native.generateDecompressionKey({ from: from.key, to: to.key }),
    );
    try {
      durations.learn(kind, clock.monotonicMs() - startedMs);
      if (call.signal.aborted) throw aborted();
      const [object] = await digestObjects(HASH_TAG.key, [{ type: 'DecompressionKey', bytes }]);
      if (!object) throw new KmsError('INTERNAL', 'the generation gave no object');
      const content = { request, keyId, preprocessingId, keyDigests: [object] };
      const metadata = signDecompressionKey(signer, content, object.digest);
      await storeObjects(call, [{ ...object, id: keyId, replace: false }], STORING);
      turn.commit();
      await catalogue.addDecompressionKey({ epochId, params, metadata });
      return metadata;
    } finally {
      bytes.dispose();
    }
  };
