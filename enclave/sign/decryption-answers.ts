/**
 * Answers of decryptions, signed: the same bytes whether one node opened the ciphertexts or a quorum did.
 *
 * Plaintexts of public decryptions are what the answer reveals; what is for a user comes sealed. Spec: kms-service.md
 * sections 4.4, 4.6 and 5.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../common/errors.ts';
import { PublicDecryptionResponseSchema, UserDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { abiEncodePlaintexts } from '../../wire/abi-plaintexts.ts';
import { publicDecryptDigest, userDecryptionLink, userDecryptResponseDigest } from '../../wire/eip712.ts';
import { effectiveExtraData } from '../../wire/extra-data.ts';
import { fheType } from '../../wire/fhe-types.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import { encodePublicDecryptionPayload, encodeUserDecryptionPayload } from '../../wire/payloads.ts';
import type { PublicDecryption, UserDecryption } from '../../wire/validate/decryption.ts';
import type { AnswerSigner } from './answer-signer.ts';

const MAX_HANDLE_BYTES = 32;

/** Who signs, and how. */
export interface AnswerDeps {
  readonly signer: AnswerSigner;
  /** Signs empty extra data where a request carries the single byte 0, as 0.12 clients expect. */
  readonly treatV0ExtraDataAsEmpty: boolean;
}

/** What an answer says of the party that gives it. */
export interface AnsweringParty {
  readonly partyId: number;
  /** Degree of the sharing that the user's shares are of. */
  readonly degree: number;
  /** Blocks of a ciphertext that one opened block holds, by type. */
  readonly packingFactor: (fheType: number) => number;
}

/**
 * Refuses, before anything is opened, what could not be signed afterwards.
 *
 * @throws {@link KmsError} `TASK_FAILED` naming the ciphertext.
 */
export function requireSignable({ items }: PublicDecryption): void {
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

/** Signs opened plaintexts, one for each ciphertext: kms.v1.PublicDecryptionResponse. */
export async function publicAnswer(
  { signer, treatV0ExtraDataAsEmpty }: AnswerDeps,
  request: PublicDecryption,
  opened: readonly Uint8Array[],
): Promise<Uint8Array> {
  const { items, requestId, domain } = request;
  const plaintexts = opened.map((bytes, i) => ({ bytes, fheType: items[i]?.fheType ?? -1 }));
  const extraData = effectiveExtraData(request.extraData, treatV0ExtraDataAsEmpty);
  const ctHandles = items.map(({ externalHandle }) => externalHandle);
  const decryptedResult = abiEncodePlaintexts(plaintexts);
  const digest = publicDecryptDigest({ domain, ctHandles, decryptedResult, extraData }, signer.keccak);
  const { verificationKey } = signer;
  const payload = encodePublicDecryptionPayload({ verificationKey, plaintexts, requestId });
  const signed = await signer.signPayload(HASH_TAG.publicDecryption, payload, digest, request.signingSchemes);
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
}

/** Returns the link of a user's request, which every sealed part of its answer repeats. */
export function linkOf({ domain, encKey, clientAddress, items }: UserDecryption, signer: AnswerSigner): Uint8Array {
  const handles = items.map(({ externalHandle }) => externalHandle);
  return userDecryptionLink({ domain, publicKey: encKey, handles, userAddress: clientAddress }, signer.keccak);
}

/** Signs what was sealed for a user, one for each ciphertext: kms.v1.UserDecryptionResponse. */
export async function userAnswer(
  { signer, treatV0ExtraDataAsEmpty }: AnswerDeps,
  request: UserDecryption,
  link: Uint8Array,
  sealed: readonly Uint8Array[],
  { partyId, degree, packingFactor }: AnsweringParty,
): Promise<Uint8Array> {
  const { domain, encKey: publicKey, items } = request;
  const { verificationKey } = signer;
  const signcryptedCiphertexts = items.map((item, i) => ({
    fheType: item.fheType,
    signcryptedCiphertext: sealed[i] ?? new Uint8Array(),
    externalHandle: item.externalHandle,
    packingFactor: packingFactor(item.fheType),
  }));
  const content = { verificationKey, digest: link, signcryptedCiphertexts, partyId, degree };
  const payload = encodeUserDecryptionPayload(content);
  const extraData = effectiveExtraData(request.extraData, treatV0ExtraDataAsEmpty);
  const ctHandles = items.map(({ externalHandle }) => externalHandle);
  const digest = userDecryptResponseDigest(
    { domain, publicKey, ctHandles, userDecryptedShare: payload, extraData },
    signer.keccak,
  );
  const signed = await signer.signPayload(HASH_TAG.userDecryption, payload, digest, request.signingSchemes);
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
}
