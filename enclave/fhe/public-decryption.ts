/**
 * Public decryption: opens ciphertexts for everyone and signs what they hold.
 *
 * The plaintexts are what the answer reveals; the key never leaves native memory. Spec: kms-service.md sections 2.3,
 * 4.4 and 4.6.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../common/errors.ts';
import { PublicDecryptionRequestSchema, PublicDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { abiEncodePlaintexts, publicDecryptDigest } from '../../wire/eip712.ts';
import { effectiveExtraData } from '../../wire/extra-data.ts';
import { fheType } from '../../wire/fhe-types.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import { encodePublicDecryptionPayload } from '../../wire/payloads.ts';
import { type PublicDecryption, parsePublicDecryption } from '../../wire/validate/decryption.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import type { DecryptionDeps } from './decryption-deps.ts';
import { openedOnTheSpot } from './on-the-spot.ts';

const MAX_HANDLE_BYTES = 32;

/**
 * Answers `PublicDecrypt`: kms.v1.PublicDecryptionRequest in, kms.v1.PublicDecryptionResponse out.
 *
 * Keeps nothing: the same request gives the same plaintexts again.
 */
export const publicDecryption = (deps: DecryptionDeps): CallHandler => {
  const { native, catalogue, signer, policy } = deps;
  return async ({ body, evidence }) => {
    const request = parsePublicDecryption(decodeRequest(PublicDecryptionRequestSchema, body), signer.keccak);
    policy.authorize('public-decryption', body, evidence);
    const key = catalogue.key(request.epochId, request.keyId);
    requireSignable(request);

    const { items } = request;
    const opened = openedOnTheSpot(items)
      ? native.publicDecryptSync(key, items)
      : await native.publicDecrypt(key, items);
    const plaintexts = opened.map((bytes, i) => ({ bytes, fheType: items[i]?.fheType ?? -1 }));

    const { requestId, domain } = request;
    const extraData = effectiveExtraData(request.extraData, deps.treatV0ExtraDataAsEmpty);
    const ctHandles = items.map(({ externalHandle }) => externalHandle);
    const decryptedResult = abiEncodePlaintexts(plaintexts);
    const digest = publicDecryptDigest({ domain, ctHandles, decryptedResult, extraData }, signer.keccak);
    const { verificationKey } = signer;
    const payload = encodePublicDecryptionPayload({ verificationKey, plaintexts, requestId });
    const signed = signer.signPayload(HASH_TAG.publicDecryption, payload, digest, request.signingSchemes);
    return toBinary(
      PublicDecryptionResponseSchema,
      create(PublicDecryptionResponseSchema, {
        signature: signed.internal,
        externalSignature: signed.external,
        payload: { verificationKey, plaintexts, requestId: { requestId } },
        extraData,
        signatures: signed.typed,
      }),
    );
  };
};

/** Refuses, before anything is opened, what could not be signed afterwards. */
function requireSignable({ items }: PublicDecryption): void {
  for (const [index, { fheType: number, externalHandle }] of items.entries()) {
    if (!fheType(number)?.abiEncodable) {
      throw new KmsError('TASK_FAILED', 'public decryption needs Bool or an unsigned integer of 8 to 256 bits', {
        index,
        fheType: number,
      });
    }
    if (externalHandle.byteLength > MAX_HANDLE_BYTES) {
      throw new KmsError('TASK_FAILED', 'external_handle must have at most 32 bytes', { index });
    }
  }
}
