/**
 * Keys and decryptions of whole engines of a quorum: all parties are asked at once, as a client asks them.
 */
import { writeFileSync } from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { EvaluationKeys } from '../../native/engine/public.ts';
import { KeyGenCallSchema } from '../../proto/gen/engine_pb.js';
import {
  FheParameter,
  KeyGenPreprocRequestSchema,
  KeyGenRequestSchema,
  type PublicDecryptionRequest,
  PublicDecryptionRequestSchema,
  type PublicDecryptionResponse,
  PublicDecryptionResponseSchema,
} from '../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { present } from './present.ts';
import type { QuorumEngine, QuorumEngines } from './quorum-engines.ts';
import { D0, type Fields, idOf } from './requests.ts';
import type { Teardown } from './temp-dir.ts';
import { loadObjects } from './test-engine.ts';

/** Encodes a call for a dealt key with test parameters. */
export function dealtKeyCall(overrides: Fields<typeof KeyGenRequestSchema> = {}): Uint8Array {
  const preprocId = { requestId: idOf(900) };
  const { contextId, epochId } = overrides;
  const where = { ...(contextId && { contextId }), ...(epochId && { epochId }) };
  const preproc = { requestId: preprocId, params: FheParameter.test, domain: D0, ...where };
  const request = { requestId: { requestId: idOf(2) }, preprocId, domain: D0, ...overrides };
  const preprocRequest = toBinary(KeyGenPreprocRequestSchema, create(KeyGenPreprocRequestSchema, preproc));
  const encoded = toBinary(KeyGenRequestSchema, create(KeyGenRequestSchema, request));
  const call = { request: encoded, preprocRequest, insecure: true };
  return toBinary(KeyGenCallSchema, create(KeyGenCallSchema, call));
}

/** Deals a key to all parties, puts its public objects where they look for them, and loads what encrypts. */
export async function dealKey(
  t: Teardown,
  quorum: QuorumEngines,
  engines: readonly QuorumEngine[],
  overrides: Fields<typeof KeyGenRequestSchema> = {},
): Promise<EvaluationKeys> {
  const counts = engines.map(({ link }) => link.objects.length);
  await Promise.all(engines.map(({ link }) => link.call(ENGINE_METHOD.keyGen, dealtKeyCall(overrides))));
  const made = engines.map(({ link }, index) => link.objects.slice(counts[index]));
  for (const [index, objects] of made.entries()) {
    for (const { type, id, bytes } of objects) {
      writeFileSync(quorum.publicObject(present(engines[index]).party, type, id), bytes);
    }
  }
  return await loadObjects(t, present(made[0]));
}

/** Asks parties for a public decryption at once; each answers or fails by itself. */
export function askPublicly(
  engines: readonly QuorumEngine[],
  request: PublicDecryptionRequest,
): Promise<PromiseSettledResult<PublicDecryptionResponse>[]> {
  const body = toBinary(PublicDecryptionRequestSchema, request);
  return Promise.allSettled(
    engines.map(async ({ link }) =>
      fromBinary(PublicDecryptionResponseSchema, await link.call(ENGINE_METHOD.publicDecrypt, body)),
    ),
  );
}

/** The number that a party's answer holds; throws if it failed. */
export function plaintextOf(answer: PromiseSettledResult<PublicDecryptionResponse> | undefined): bigint {
  if (answer?.status !== 'fulfilled') throw answer?.reason;
  return numberIn(answer.value);
}

/** The number that an answer holds. */
export function numberIn({ payload }: PublicDecryptionResponse): bigint {
  const [plaintext] = payload?.plaintexts ?? [];
  return BigInt(`0x${Buffer.from(Uint8Array.from(plaintext?.bytes ?? []).reverse()).toString('hex')}`);
}
