/**
 * Generates the CRS that input proofs are made and checked with. Nothing that stays is secret: the trapdoor dies in
 * native memory. Spec: kms-service.md sections 2.6 and 4.4.
 */
import { KmsError } from '../../common/errors.ts';
import { CrsGenCallSchema } from '../../proto/gen/engine_pb.js';
import { CrsGenRequestSchema } from '../../proto/gen/kms_pb.js';
import { HASH_TAG } from '../../wire/hash.ts';
import type { CrsGenMetadata } from '../../wire/metadata.ts';
import { type CrsGen, parseCrsGen } from '../../wire/validate/generation.ts';
import type { CallHandler, EngineCall } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import { encodeCrsGenResult, signCrs } from '../sign/results.ts';
import { type GenerationDeps, requireAllowed } from './generation-deps.ts';
import { aborted, type Turn } from './generation-queue.ts';
import { withEstimate } from './progress.ts';
import { digestObjects, storeObjects } from './store-objects.ts';

const GENERATING = { phase: 'generating', from: 0, to: 0.95 };
const STORING = { from: 0.95, to: 1 };

/**
 * Answers `CrsGen`: engine.v1.CrsGenCall in, kms.v1.CrsGenResult out, one public object on the way.
 *
 * Waits for its turn as key generations do.
 */
export const crsGeneration =
  (deps: GenerationDeps): CallHandler =>
  async (call) => {
    const request = parseCall(deps, call);
    deps.catalogue.requireNewCrs(request.epochId, request.requestId);
    if (deps.queue.size > 0) call.report({ phase: 'queued', fraction: 0, estimated: false });
    const metadata = await deps.queue.run(`CRS ${request.requestId}`, call.signal, (turn) =>
      generate(deps, request, call, turn),
    );
    return encodeCrsGenResult(metadata);
  };

function parseCall(deps: GenerationDeps, { body, evidence }: EngineCall): CrsGen {
  const { request: requestBytes, insecure } = decodeRequest(CrsGenCallSchema, body);
  const request = parseCrsGen(decodeRequest(CrsGenRequestSchema, requestBytes), deps.signer.keccak);
  requireAllowed(deps, { insecure, params: request.params });
  deps.policy.authorize('crs-generation', requestBytes, evidence);
  return request;
}

async function generate(deps: GenerationDeps, request: CrsGen, call: EngineCall, turn: Turn): Promise<CrsGenMetadata> {
  const { native, catalogue, signer, clock, durations } = deps;
  const { requestId: id, epochId, params, maxNumBits } = request;
  // Another generation may have made the same CRS meanwhile.
  catalogue.requireNewCrs(epochId, id);
  const kind = `crsgen ${params} ${maxNumBits}`;
  const startedMs = clock.monotonicMs();
  const stretch = { ...GENERATING, expectedMs: durations.expected(kind) };
  const made = await withEstimate(stretch, { clock, report: call.report }, () =>
    native.generateCrs({ params, maxNumBits }),
  );
  try {
    durations.learn(kind, clock.monotonicMs() - startedMs);
    if (call.signal.aborted) throw aborted();
    const [object] = await digestObjects(HASH_TAG.crs, [{ type: 'CRS', bytes: made.bytes }]);
    if (!object) throw new KmsError('INTERNAL', 'the generation gave no object');
    // What the CRS can really do, which may be more than was asked for.
    const effective = { crsDigest: object.digest, maxNumBits: made.maxNumBits };
    const metadata = signCrs(signer, request, effective);
    await storeObjects(call, [{ ...object, id, replace: false }], STORING);
    turn.commit();
    await catalogue.addCrs({ epochId, metadata });
    return metadata;
  } finally {
    made.bytes.dispose();
  }
}
