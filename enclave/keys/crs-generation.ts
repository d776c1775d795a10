/**
 * `InsecureCrsGen` of a quorum: every party makes the same CRS from a common coin. The coin is the trapdoor, and every
 * party sees it: developer mode only. Spec: kms-service.md sections 2.6 and 4.4.
 */
import { KmsError } from '../../common/errors.ts';
import { CrsGenCallSchema } from '../../proto/gen/engine_pb.js';
import { CrsGenRequestSchema } from '../../proto/gen/kms_pb.js';
import { HASH_TAG } from '../../wire/hash.ts';
import { type CrsGen, parseCrsGen } from '../../wire/validate/generation.ts';
import type { CallHandler, EngineCall } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import { aborted } from '../fhe/generation-queue.ts';
import { withEstimate } from '../fhe/progress.ts';
import { type DigestedObject, digestObjects, storeObjects } from '../fhe/store-objects.ts';
import { encodeCrsGenResult, signCrs } from '../sign/results.ts';
import { agreeOnOutcome, agreeOnSeed, type DealingWork, dealingWork } from './common-coin.ts';
import { requireDealt, type ThresholdGenerationDeps } from './generation-deps.ts';

const MEETING = { phase: 'meeting', fraction: 0, estimated: false };
const GENERATING = { phase: 'generating', from: 0, to: 0.95 };
const STORING = { from: 0.95, to: 0.99 };
const AGREEING = { phase: 'agreeing', fraction: 0.99, estimated: false };

/** A CRS that was made and not kept yet. */
interface Made {
  readonly object: DigestedObject;
  /** What the CRS can really do, which may be more than was asked for. */
  readonly maxNumBits: number;
}

/**
 * Answers `CrsGen`: engine.v1.CrsGenCall in, kms.v1.CrsGenResult out, one public object on the way.
 *
 * Begins when all parties of the context were asked the same; ends when all of them have the same CRS.
 */
export const thresholdCrsGeneration =
  (deps: ThresholdGenerationDeps): CallHandler =>
  async (call) => {
    const { catalogue, contexts, signer } = deps;
    const { signal } = call;
    const request = parseCall(deps, call);
    const { requestId: id, contextId, epochId } = request;
    catalogue.requireNewCrs(epochId, id);
    contexts.epoch(contextId, epochId);
    const work = dealingWork('insecure-crsgen', request, [request.params, request.maxNumBits]);
    call.report(MEETING);
    const { object, maxNumBits } = await make(deps, request, call, work);
    try {
      const metadata = signCrs(signer, request, { crsDigest: object.digest, maxNumBits });
      await storeObjects(call, [{ ...object, id, replace: false }], STORING);
      call.report(AGREEING);
      await agreeOnOutcome(contexts, work, [object.digest], signal);
      if (signal.aborted) throw aborted();
      // Both may have changed meanwhile.
      contexts.epoch(contextId, epochId);
      catalogue.requireNewCrs(epochId, id);
      await catalogue.addCrs({ epochId, metadata });
      return encodeCrsGenResult(metadata);
    } finally {
      object.bytes.dispose();
    }
  };

function parseCall(deps: ThresholdGenerationDeps, { body, evidence }: EngineCall): CrsGen {
  const { request: requestBytes, insecure } = decodeRequest(CrsGenCallSchema, body);
  const request = parseCrsGen(decodeRequest(CrsGenRequestSchema, requestBytes), deps.signer.keccak);
  requireDealt(deps, { insecure, params: request.params });
  deps.policy.authorize('crs-generation', requestBytes, evidence);
  return request;
}

/** Agrees on a seed, then waits for its turn and makes the CRS: whoever waits for others holds no turn. */
async function make(
  { native, contexts, queue, clock, durations }: ThresholdGenerationDeps,
  { requestId, params, maxNumBits }: CrsGen,
  call: EngineCall,
  work: DealingWork,
): Promise<Made> {
  const seed = await agreeOnSeed(contexts, work, call.signal);
  try {
    return await queue.run(`CRS ${requestId}`, call.signal, async (turn) => {
      const kind = `crsgen ${params} ${maxNumBits}`;
      const startedMs = clock.monotonicMs();
      const stretch = { ...GENERATING, expectedMs: durations.expected(kind) };
      const made = await withEstimate(stretch, { clock, report: call.report }, () =>
        native.generateCrs({ params, maxNumBits, seed }),
      );
      try {
        durations.learn(kind, clock.monotonicMs() - startedMs);
        const [object] = await digestObjects(HASH_TAG.crs, [{ type: 'CRS', bytes: made.bytes }]);
        if (!object) throw new KmsError('INTERNAL', 'the generation gave no object');
        turn.commit();
        return { object, maxNumBits: made.maxNumBits };
      } catch (error) {
        made.bytes.dispose();
        throw error;
      }
    });
  } finally {
    seed.fill(0);
  }
}
