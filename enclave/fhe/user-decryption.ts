/**
 * User decryption: opens ciphertexts for one user's key and signs the sealed answer.
 *
 * The plaintexts never leave native memory in clear: one call takes ciphertexts and gives back signed and encrypted
 * bytes. Spec: kms-service.md section 5.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { UserDecryptionRequestSchema, UserDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { userDecryptionLink, userDecryptResponseDigest } from '../../wire/eip712.ts';
import { effectiveExtraData } from '../../wire/extra-data.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import { encodeUserDecryptionPayload } from '../../wire/payloads.ts';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import type { DecryptionDeps } from './decryption-deps.ts';
import { openedOnTheSpot } from './on-the-spot.ts';

/** A centralized node is the only party, shares nothing and packs nothing. */
const PARTY_ID = 1;
const DEGREE = 0;
const PACKING_FACTOR = 1;

/**
 * Answers `UserDecrypt`: kms.v1.UserDecryptionRequest in, kms.v1.UserDecryptionResponse out.
 *
 * Keeps nothing; each answer is encrypted with fresh randomness.
 */
export const userDecryption = (deps: DecryptionDeps): CallHandler => {
  const { native, nodeKey, catalogue, signer, policy } = deps;
  return async ({ body, evidence }) => {
    const request = parseUserDecryption(decodeRequest(UserDecryptionRequestSchema, body), signer.keccak);
    policy.authorize('user-decryption', body, evidence);
    const key = catalogue.key(request.epochId, request.keyId);

    const { domain, encKey: publicKey, clientAddress: userAddress } = request;
    const handles = request.items.map(({ externalHandle }) => externalHandle);
    const link = userDecryptionLink({ domain, publicKey, handles, userAddress }, signer.keccak);
    const recipient = { encKey: publicKey, clientAddress: userAddress, link };
    const sealed = openedOnTheSpot(request.items)
      ? native.userDecryptSync(key, nodeKey, request.items, recipient)
      : await native.userDecrypt(key, nodeKey, request.items, recipient);

    const { verificationKey } = signer;
    const signcryptedCiphertexts = request.items.map(({ fheType, externalHandle }, i) => ({
      fheType,
      signcryptedCiphertext: sealed[i] ?? new Uint8Array(),
      externalHandle,
      packingFactor: PACKING_FACTOR,
    }));
    const content = { verificationKey, digest: link, signcryptedCiphertexts, partyId: PARTY_ID, degree: DEGREE };
    const payload = encodeUserDecryptionPayload(content);
    const extraData = effectiveExtraData(request.extraData, deps.treatV0ExtraDataAsEmpty);
    const digest = userDecryptResponseDigest(
      { domain, publicKey, ctHandles: handles, userDecryptedShare: payload, extraData },
      signer.keccak,
    );
    const signed = signer.signPayload(HASH_TAG.userDecryption, payload, digest, request.signingSchemes);
    return toBinary(
      UserDecryptionResponseSchema,
      create(UserDecryptionResponseSchema, {
        signature: signed.internal,
        externalSignature: signed.external,
        payload: content,
        extraData,
        signatures: signed.typed,
      }),
    );
  };
};
