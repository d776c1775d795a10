/**
 * User decryption: opens ciphertexts for one user's key and signs the sealed answer.
 *
 * The plaintexts never leave native memory in clear: one call takes ciphertexts and gives back signed and encrypted
 * bytes. Spec: kms-service.md section 5.
 */
import { UserDecryptionRequestSchema } from '../../proto/gen/kms_pb.js';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import { type AnsweringParty, linkOf, userAnswer } from '../sign/decryption-answers.ts';
import type { DecryptionDeps } from './decryption-deps.ts';
import { openedOnTheSpot } from './on-the-spot.ts';

/** A centralized node is the only party, shares nothing and packs nothing. */
const THE_ONLY_PARTY: AnsweringParty = { partyId: 1, degree: 0, packingFactor: () => 1 };

/**
 * Answers `UserDecrypt`: kms.v1.UserDecryptionRequest in, kms.v1.UserDecryptionResponse out.
 *
 * Keeps nothing; each answer is encrypted with fresh randomness.
 */
export const userDecryption = (deps: DecryptionDeps): CallHandler => {
  const { native, nodeKey, catalogue, signer, policy } = deps;
  return async ({ body, evidence, freeBody }) => {
    const request = parseUserDecryption(decodeRequest(UserDecryptionRequestSchema, body), signer.keccak);
    policy.authorize('user-decryption', body, evidence);
    const key = catalogue.key(request.epochId, request.keyId);

    const link = linkOf(request, signer);
    const recipient = { encKey: request.encKey, clientAddress: request.clientAddress, link };
    const sealed = openedOnTheSpot(request.items)
      ? native.userDecryptSync(key, nodeKey, request.items, recipient)
      : await native.userDecrypt(key, nodeKey, request.items, recipient);
    const answer = await userAnswer(deps, request, link, sealed, THE_ONLY_PARTY);
    freeBody?.();
    return answer;
  };
};
