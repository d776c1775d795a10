/**
 * Public decryption: opens ciphertexts for everyone and signs what they hold.
 *
 * The plaintexts are what the answer reveals; the key never leaves native memory. Spec: kms-service.md sections 2.3,
 * 4.4 and 4.6.
 */
import { PublicDecryptionRequestSchema } from '../../proto/gen/kms_pb.js';
import { parsePublicDecryption } from '../../wire/validate/decryption.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import { publicAnswer, requireSignable } from '../sign/decryption-answers.ts';
import type { DecryptionDeps } from './decryption-deps.ts';
import { openedOnTheSpot } from './on-the-spot.ts';

/**
 * Answers `PublicDecrypt`: kms.v1.PublicDecryptionRequest in, kms.v1.PublicDecryptionResponse out.
 *
 * Keeps nothing: the same request gives the same plaintexts again.
 */
export const publicDecryption = (deps: DecryptionDeps): CallHandler => {
  const { native, catalogue, signer, policy } = deps;
  return async ({ body, evidence, freeBody }) => {
    const request = parsePublicDecryption(decodeRequest(PublicDecryptionRequestSchema, body), signer.keccak);
    policy.authorize('public-decryption', body, evidence);
    const key = catalogue.key(request.epochId, request.keyId);
    requireSignable(request);

    const { items } = request;
    const opened = openedOnTheSpot(items)
      ? native.publicDecryptSync(key, items)
      : await native.publicDecrypt(key, items);
    const answer = await publicAnswer(deps, request, opened);
    freeBody?.();
    return answer;
  };
};
