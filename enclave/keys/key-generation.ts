/**
 * `InsecureKeyGen` of a quorum: every party derives the same key set from a common coin and keeps its own shares.
 *
 * Every party could keep the whole key: developer mode only. Shares live in native memory and leave it once, encoded, for
 * the private vault. Order of writing: public objects at the Core first, then, when all parties have come to the same
 * ones, the shares, which are what makes the key real. Spec: kms-service.md sections 1.6, 2.5 and 4.4.
 */
import { KmsError } from '../../common/errors.ts';
import type { DealtKeySet, KeyShares } from '../../native/engine/index.ts';
import { KeyGenCallSchema } from '../../proto/gen/engine_pb.js';
import { KeyGenPreprocRequestSchema, KeyGenRequestSchema } from '../../proto/gen/kms_pb.js';
import { HASH_TAG } from '../../wire/hash.ts';
import { idBytes } from '../../wire/ids.ts';
import type { FheParams } from '../../wire/validate/common.ts';
import { type KeyGen, parseKeyGen, parseKeyGenPreproc } from '../../wire/validate/generation.ts';
import type { CallHandler, EngineCall } from '../call.ts';
import type { Context } from '../contexts/contexts.ts';
import { decodeRequest } from '../decode-request.ts';
import { aborted } from '../fhe/generation-queue.ts';
import { withEstimate } from '../fhe/progress.ts';
import { type DigestedObject, digestObjects, storeObjects } from '../fhe/store-objects.ts';
import { encodeKeyGenResult, signKeySet } from '../sign/results.ts';
import { agreeOnOutcome, agreeOnSeed, type DealingWork, dealingWork } from './common-coin.ts';
import { requireDealt, type ThresholdGenerationDeps } from './generation-deps.ts';

/** Parts of the whole that each step is, from measurements at production size. */
const MEETING = { phase: 'meeting', fraction: 0, estimated: false };
const GENERATING = { phase: 'generating', from: 0, to: 0.9 };
const STORING = { from: 0.9, to: 0.99 };
const AGREEING = { phase: 'agreeing', fraction: 0.99, estimated: false };

/** A key generation that may start. */
interface DealingJob {
  readonly request: KeyGen;
  readonly params: FheParams;
  readonly layout: 'compressed' | 'uncompressed';
}

/** A key set that was dealt and not kept yet. */
interface Dealt {
  readonly shares: KeyShares;
  readonly objects: readonly DigestedObject[];
}

/**
 * Answers `KeyGen`: engine.v1.KeyGenCall in, kms.v1.KeyGenResult out, public objects on the way.
 *
 * Begins when all parties of the context were asked the same; ends when all of them have the same public objects.
 */
export const thresholdKeyGeneration =
  (deps: ThresholdGenerationDeps): CallHandler =>
  async (call) => {
    const { catalogue, contexts, signer } = deps;
    const { signal } = call;
    const job = parseCall(deps, call);
    const { request, params, layout } = job;
    const { requestId: keyId, preprocId: preprocessingId, contextId, epochId } = request;
    catalogue.requireNewKey(epochId, keyId);
    const { context } = contexts.epoch(contextId, epochId);
    const work = dealingWork('insecure-keygen', request, [idBytes(preprocessingId), params, layout]);
    call.report(MEETING);
    const { shares, objects } = await deal(deps, job, { call, work, context });
    let kept = false;
    try {
      const keyDigests = objects.map(({ type, digest }) => ({ type, digest }));
      const metadata = signKeySet(signer, { request, keyId, preprocessingId, keyDigests });
      const placed = objects.map((object) => ({ ...object, id: keyId, replace: false }));
      await storeObjects(call, placed, STORING);
      call.report(AGREEING);
      const outcome = [shares.sharingId, ...keyDigests.map(({ digest }) => digest)];
      await agreeOnOutcome(contexts, work, outcome, signal);
      if (signal.aborted) throw aborted();
      // Both may have changed meanwhile.
      contexts.epoch(contextId, epochId);
      catalogue.requireNewKey(epochId, keyId);
      await catalogue.addKeySet({ epochId, params, provenance: shares.provenance, metadata, shares });
      kept = true;
      return encodeKeyGenResult(metadata);
    } finally {
      dispose({ shares, objects }, kept);
    }
  };

function parseCall(deps: ThresholdGenerationDeps, { body, evidence }: EngineCall): DealingJob {
  const { request: requestBytes, preprocRequest, insecure } = decodeRequest(KeyGenCallSchema, body);
  const request = parseKeyGen(decodeRequest(KeyGenRequestSchema, requestBytes), deps.signer.keccak);
  const preproc = parseKeyGenPreproc(decodeRequest(KeyGenPreprocRequestSchema, preprocRequest), deps.signer.keccak);
  if (preproc.requestId !== request.preprocId) {
    throw new KmsError('REQUEST_INVALID', 'the preprocessing is not the one that preproc_id names');
  }
  const params = request.params ?? preproc.params;
  requireDealt(deps, { insecure, params });
  deps.policy.authorize('key-generation', requestBytes, evidence);
  const { keyset } = request;
  if (keyset.kind !== 'generate') {
    throw new KmsError(
      'UNIMPLEMENTED',
      'a quorum makes fresh key sets only: nobody holds the secret key that new public objects would be made with',
    );
  }
  return { request, params, layout: keyset.compressed ? 'compressed' : 'uncompressed' };
}

/** Agrees on a seed, then waits for its turn and deals: whoever waits for others holds no turn. */
async function deal(
  { native, contexts, queue, clock, durations }: ThresholdGenerationDeps,
  { request, params, layout }: DealingJob,
  { call, work, context }: { call: EngineCall; work: DealingWork; context: Context },
): Promise<Dealt> {
  const { requestId: keyId } = request;
  const seed = await agreeOnSeed(contexts, work, call.signal);
  const { t, party, nodes } = context;
  const sharing = { n: nodes.length, t, party, provenance: 'developer' as const };
  try {
    return await queue.run(`key ${keyId}`, call.signal, async (turn) => {
      const kind = `keygen ${params} ${layout}`;
      const startedMs = clock.monotonicMs();
      const stretch = { ...GENERATING, expectedMs: durations.expected(kind) };
      const dealt = await withEstimate(stretch, { clock, report: call.report }, () =>
        native.dealKeySet({ params, seed, tag: idBytes(keyId), layout, ...sharing }),
      );
      try {
        durations.learn(kind, clock.monotonicMs() - startedMs);
        const objects = await digestObjects(HASH_TAG.key, dealt.objects);
        turn.commit();
        return { shares: dealt.shares, objects };
      } catch (error) {
        dispose(dealt, false);
        throw error;
      }
    });
  } finally {
    seed.fill(0);
  }
}

function dispose({ shares, objects }: Dealt | DealtKeySet, kept: boolean): void {
  for (const { bytes } of objects) bytes.dispose();
  if (!kept) shares.dispose();
}
