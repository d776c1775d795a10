/**
 * Makes key sets: fresh ones, and new public objects for an existing secret key.
 *
 * The native call takes a minute at production size and cannot be stopped: an aborted generation answers at once,
 * and what the call gives back in the end is wiped here.
 */
import { KmsError } from '../../common/errors.ts';
import type { FheKey, KeySet } from '../../native/engine/index.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import { idBytes, type RequestId } from '../../wire/ids.ts';
import type { KeyGenMetadata } from '../../wire/metadata.ts';
import type { KeysetPlan } from '../../wire/validate/generation.ts';
import { signKeySet } from '../sign/results.ts';
import type { HeldKey } from '../vault/catalogue.ts';
import type { GenerationDeps } from './generation-deps.ts';
import { aborted } from './generation-queue.ts';
import type { KeyGenJob } from './key-generation.ts';
import { withEstimate } from './progress.ts';
import { type DigestedObject, digestObjects, type Placement, storeObjects } from './store-objects.ts';

/** A plan whose outcome is a key set. */
export type KeySetPlan = Exclude<KeysetPlan, { kind: 'decompression-only' }>;

type HeldKeySet = HeldKey & { readonly key: FheKey };

/** Parts of the whole that each step is, from measurements at production size. */
const GENERATING = { phase: 'generating', from: 0, to: 0.9 };
const HASHING = { phase: 'hashing', from: 0.9, to: 0.94 };
const STORING = { from: 0.94, to: 1 };
/** SHAKE256 on one core of the reference machine. */
const HASHED_BYTES_PER_MS = 350_000;

/** Runs one job to its metadata. */
export const keySetGeneration =
  (deps: GenerationDeps) =>
  async (job: KeyGenJob, plan: KeySetPlan): Promise<KeyGenMetadata> => {
    const original = plan.kind === 'use-existing' ? existingKeySet(deps, job, plan.existingKeyId) : undefined;
    const made = await generate(deps, job, plan, original);
    let kept = false;
    try {
      if (job.call.signal.aborted) throw aborted();
      const objects = await digest(deps, job, made);
      const held = sign(deps, job, made.key, objects);
      const copy = plan.kind === 'use-existing' && plan.copyCompressedKeyToOriginal ? original : undefined;
      const replaced = copy && signCopy(deps, job, copy, objects);
      await storeObjects(job.call, placements(job, objects, copy), STORING);
      job.turn.commit();
      if (replaced) await deps.catalogue.replaceMetadata(replaced);
      await deps.catalogue.addKeySet(held);
      kept = true;
      return held.metadata;
    } finally {
      for (const { bytes } of made.objects) bytes.dispose();
      if (!kept) made.key.dispose();
    }
  };

function existingKeySet({ catalogue }: GenerationDeps, job: KeyGenJob, existingKeyId: RequestId): HeldKeySet {
  const held = catalogue.keySet(job.request.epochId, existingKeyId);
  if (held.params !== job.params) {
    throw new KmsError('REQUEST_INVALID', `params must be those of the existing key: ${held.params}`);
  }
  return held;
}

async function generate(
  { native, clock, durations, provenance }: GenerationDeps,
  { request, params, call }: KeyGenJob,
  plan: KeySetPlan,
  original: HeldKeySet | undefined,
): Promise<KeySet> {
  const existing = original?.key;
  const ownTag = plan.kind === 'generate' || !plan.useExistingKeyTag || !existing;
  const options = {
    params,
    tag: ownTag ? idBytes(request.requestId) : existing.tag,
    provenance,
    layout: plan.compressed ? ('compressed' as const) : ('uncompressed' as const),
    ...(existing ? { existing } : {}),
  };
  const kind = `keygen ${params} ${options.layout}`;
  const startedMs = clock.monotonicMs();
  const stretch = { ...GENERATING, expectedMs: durations.expected(kind) };
  const made = await withEstimate(stretch, { clock, report: call.report }, () => native.generateKeySet(options));
  durations.learn(kind, clock.monotonicMs() - startedMs);
  return made;
}

async function digest({ clock }: GenerationDeps, { call }: KeyGenJob, made: KeySet): Promise<DigestedObject[]> {
  const sizeBytes = made.objects.reduce((sum, { bytes }) => sum + bytes.size, 0);
  const stretch = { ...HASHING, expectedMs: sizeBytes / HASHED_BYTES_PER_MS };
  return await withEstimate(stretch, { clock, report: call.report }, () => digestObjects(HASH_TAG.key, made.objects));
}

function sign(
  { signer }: GenerationDeps,
  { request, params }: KeyGenJob,
  key: FheKey,
  keyDigests: readonly DigestedObject[],
): HeldKeySet {
  const { requestId: keyId, preprocId: preprocessingId, epochId } = request;
  return { epochId, params, key, metadata: signKeySet(signer, { request, keyId, preprocessingId, keyDigests }) };
}

/** The original key with the new compressed key set under its own id; its public key stays what it was. */
function signCopy(
  { signer }: GenerationDeps,
  { request }: KeyGenJob,
  original: HeldKeySet,
  objects: readonly DigestedObject[],
): HeldKeySet {
  const { keyId, preprocessingId } = original.metadata;
  const keyDigests = [
    ...original.metadata.keyDigests.filter(({ type }) => type === 'PublicKey'),
    ...objects.filter(({ type }) => type === 'CompressedXofKeySet'),
  ];
  return { ...original, metadata: signKeySet(signer, { request, keyId, preprocessingId, keyDigests }) };
}

/** Where each object goes: under the new id, and the copy under the original one last. */
function placements(
  { request }: KeyGenJob,
  objects: readonly DigestedObject[],
  copyTo: HeldKeySet | undefined,
): (DigestedObject & Placement)[] {
  const own = objects.map((object) => ({ ...object, id: request.requestId, replace: false }));
  if (!copyTo) return own;
  const { keyId: id, keyDigests } = copyTo.metadata;
  const replace = keyDigests.some(({ type }) => type === 'CompressedXofKeySet');
  const copies = objects.filter(({ type }) => type === 'CompressedXofKeySet');
  return [...own, ...copies.map((object) => ({ ...object, id, replace }))];
}
