/**
 * Both decryptions of a threshold node: the quorum approves, this party's shares are made, the answer is signed.
 *
 * Key shares and masks stay behind the functions of a {@link ThresholdKey}. Requests and answers are those of a
 * centralized node but for the party, the degree and the packing. Spec: kms-service.md sections 2.2, 2.3, 5.5 and 5.6.
 */
import type { CiphertextItem, Recipient } from '../../native/engine/index.ts';
import { PublicDecryptionRequestSchema, UserDecryptionRequestSchema } from '../../proto/gen/kms_pb.js';
import type { RequestId } from '../../wire/ids.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../wire/validate/decryption.ts';
import type { AuthorizationPolicy } from '../authorization.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import { type AnswerDeps, linkOf, publicAnswer, requireSignable, userAnswer } from '../sign/decryption-answers.ts';
import type { PartialDecrypt, UserShares } from './kernels.ts';
import type { Quorum } from './quorum.ts';
import { type CiphertextHash, namePublicRequest, nameUserRequest } from './request-name.ts';

/** A key that this party has shares of, under one epoch of one context. */
export interface ThresholdKey {
  readonly party: number;
  readonly t: number;
  /** The engines of the context. */
  readonly quorum: Quorum;
  readonly partialDecrypt: PartialDecrypt;
  readonly userShares: UserShares;
}

/** What both handlers need. */
export interface QuorumDecryptionDeps extends AnswerDeps {
  /** Finds a key; `NOT_FOUND` if this party has no share of it under that epoch and context. */
  readonly key: (ids: {
    readonly contextId: RequestId;
    readonly epochId: RequestId;
    readonly keyId: RequestId;
  }) => ThresholdKey;
  readonly policy: AuthorizationPolicy;
  /** The same at all parties. */
  readonly hashCiphertext: CiphertextHash;
}

const BOOL = 0;

/** Two blocks of two bits are squashed into one; a Bool is one block by itself. */
function packingFactor(fheType: number): number {
  return fheType === BOOL ? 1 : 2;
}

/** Answers `PublicDecrypt`: kms.v1.PublicDecryptionRequest in, kms.v1.PublicDecryptionResponse out. */
export const quorumPublicDecryption =
  (deps: QuorumDecryptionDeps): CallHandler =>
  async ({ body, evidence, signal, freeBody }) => {
    const { signer, policy } = deps;
    const request = parsePublicDecryption(decodeRequest(PublicDecryptionRequestSchema, body), signer.keccak);
    policy.authorize('public-decryption', body, evidence);
    const { quorum, partialDecrypt } = deps.key(request);
    requireSignable(request);
    const job = { ...namePublicRequest(request, deps.hashCiphertext), items: request.items, partialDecrypt };
    const answer = await publicAnswer(deps, request, await quorum.publicDecrypt(job, signal));
    freeBody?.();
    return answer;
  };

/** Answers `UserDecrypt`: kms.v1.UserDecryptionRequest in, kms.v1.UserDecryptionResponse out. */
export const quorumUserDecryption =
  (deps: QuorumDecryptionDeps): CallHandler =>
  async ({ body, evidence, signal, freeBody }) => {
    const { signer, policy } = deps;
    const request = parseUserDecryption(decodeRequest(UserDecryptionRequestSchema, body), signer.keccak);
    policy.authorize('user-decryption', body, evidence);
    const { quorum, userShares, party, t } = deps.key(request);
    const link = linkOf(request, signer);
    const recipient: Recipient = { encKey: request.encKey, clientAddress: request.clientAddress, link };
    const seal = (items: readonly CiphertextItem[]): Promise<Uint8Array[]> => userShares(items, recipient);
    const job = { ...nameUserRequest(request, deps.hashCiphertext), items: request.items, seal };
    const sealed = await quorum.userDecrypt(job, signal);
    const answer = await userAnswer(deps, request, link, sealed, { partyId: party, degree: t, packingFactor });
    freeBody?.();
    return answer;
  };
