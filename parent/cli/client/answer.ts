/**
 * Answers as JSON files: all that a verifier needs, and their verification. Nothing in them is secret but, for a
 * user's answer, the plaintexts that the user chose to write out.
 */
import { z } from 'zod';
import { equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { abiEncodePlaintexts } from '../../../wire/abi-plaintexts.ts';
import { formatAddress, parseAddress } from '../../../wire/addresses.ts';
import { publicDecryptDigest, userDecryptionLink, userDecryptResponseDigest } from '../../../wire/eip712.ts';
import { HASH_TAG } from '../../../wire/hash.ts';
import {
  decodePublicDecryptionPayload,
  decodeUserDecryptionPayload,
  parseVerificationKeyField,
} from '../../../wire/payloads.ts';
import { addressOfCompressedKey, verifyInternalSignature } from '../../../wire/signatures.ts';
import { failure } from '../framework/failure.ts';
import { formatValue, typeName } from './ciphertext-file.ts';
import { requestDomain } from './domain.ts';
import { requireSigner } from './signer.ts';

const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/);
const Domain = z.strictObject({
  name: z.string(),
  version: z.string(),
  chainId: z.string(),
  verifyingContract: z.string(),
});
const Plaintext = z.strictObject({ type: z.string(), value: z.string(), handle: hex });
const common = {
  requestId: z.string(),
  keyId: z.string(),
  /** Address of the node that signed. */
  signer: z.string(),
  domain: Domain,
  extraData: hex,
  /** As sent, in order. */
  handles: z.array(hex),
  plaintexts: z.array(Plaintext),
  /** Bincode of the answer's payload: what was signed. */
  payload: hex,
  /** Over the payload, r ‖ s. */
  signature: hex,
  /** EIP-712, r ‖ s ‖ v. */
  externalSignature: hex,
  verified: z.boolean(),
};
const PublicAnswer = z.strictObject({ kind: z.literal('public-decryption'), ...common });
const UserAnswer = z.strictObject({
  kind: z.literal('user-decryption'),
  clientAddress: z.string(),
  /** The user's public encryption key, as the request carried it. */
  encKey: hex,
  ...common,
});

const parts = {
  /** t: more than so many parties must have signed the same. */
  threshold: z.int().min(1).max(4),
  requestId: z.string(),
  keyId: z.string(),
  plaintexts: z.array(Plaintext),
  verified: z.boolean(),
};
const MAX_PARTIES = 13;
const QuorumPublicAnswer = z.strictObject({
  kind: z.literal('quorum-public-decryption'),
  ...parts,
  /** One for each party that signed these plaintexts. */
  answers: z.array(PublicAnswer).min(1).max(MAX_PARTIES),
});
const QuorumUserAnswer = z.strictObject({
  kind: z.literal('quorum-user-decryption'),
  ...parts,
  /** One for each party that gave a share; their own plaintexts are empty. */
  answers: z.array(UserAnswer).min(1).max(MAX_PARTIES),
});

/** The answer of one node. */
export const Answer = z.discriminatedUnion('kind', [PublicAnswer, UserAnswer]);
/** See {@link Answer}. */
export type Answer = z.infer<typeof Answer>;
/** An answer file: of one node or of a quorum. */
export const AnswerFile = z.discriminatedUnion('kind', [
  PublicAnswer,
  UserAnswer,
  QuorumPublicAnswer,
  QuorumUserAnswer,
]);
/** See {@link AnswerFile}. */
export type AnswerFile = z.infer<typeof AnswerFile>;
/** The answer of a public decryption. */
export type PublicAnswer = z.infer<typeof PublicAnswer>;
/** The answer of a user decryption. */
export type UserAnswer = z.infer<typeof UserAnswer>;
/** The answers of the parties of a quorum to a public decryption. */
export type QuorumPublicAnswer = z.infer<typeof QuorumPublicAnswer>;
/** The shares of the parties of a quorum for a user. */
export type QuorumUserAnswer = z.infer<typeof QuorumUserAnswer>;
/** A plaintext as answers show it. */
export type PlaintextText = z.infer<typeof Plaintext>;

/**
 * Verifies an answer: payload, plaintexts, link and both signatures fit together, and `signer` made them.
 *
 * The plaintexts of a user's answer cannot be checked without the user's secret key: only that the node signed what
 * it sent. `arca decrypt --for-user` checks them when it decodes.
 *
 * @throws {@link KmsError} `PERMISSION_DENIED` for another signer, `REQUEST_INVALID` for what does not fit.
 */
export function verifyAnswer(answer: Answer, signer: string): void {
  if (answer.kind === 'public-decryption') verifyPublicAnswer(answer, signer);
  else verifyUserAnswer(answer, signer);
}

function verifyPublicAnswer(answer: PublicAnswer, signer: string): void {
  const payload = decodePublicDecryptionPayload(fromHex(answer.payload));
  if (payload.requestId !== answer.requestId) throw mismatch('the payload answers another request');
  const texts = payload.plaintexts.map(({ bytes, fheType }) => `${typeName(fheType)} ${formatValue(bytes, fheType)}`);
  const claimed = answer.plaintexts.map(({ type, value }) => `${type} ${value}`);
  if (texts.join() !== claimed.join()) throw mismatch(`the plaintexts are not those signed (${texts.join(', ')})`);
  const digest = publicDecryptDigest({
    domain: requestDomain(answer.domain).parsed,
    ctHandles: answer.handles.map(fromHex),
    decryptedResult: abiEncodePlaintexts(payload.plaintexts),
    extraData: fromHex(answer.extraData),
  });
  requireSigner(digest, fromHex(answer.externalSignature), signer, 'the answer');
  requireInternalSignature(HASH_TAG.publicDecryption, answer, payload.verificationKey, signer);
}

function verifyUserAnswer(answer: UserAnswer, signer: string): void {
  const payload = decodeUserDecryptionPayload(fromHex(answer.payload));
  const domain = requestDomain(answer.domain).parsed;
  const handles = answer.handles.map(fromHex);
  const publicKey = fromHex(answer.encKey);
  const userAddress = parseAddress(answer.clientAddress, 'clientAddress');
  const link = userDecryptionLink({ domain, publicKey, handles, userAddress });
  if (!equalBytes(link, payload.digest)) {
    throw mismatch(`the answer is for another request: its link is ${toHex(payload.digest)}, not ${toHex(link)}`);
  }
  const digest = userDecryptResponseDigest({
    domain,
    publicKey,
    ctHandles: handles,
    userDecryptedShare: fromHex(answer.payload),
    extraData: fromHex(answer.extraData),
  });
  requireSigner(digest, fromHex(answer.externalSignature), signer, 'the answer');
  requireInternalSignature(HASH_TAG.userDecryption, answer, payload.verificationKey, signer);
}

/** The payload names a key: it must be the signer's, and have signed the payload. */
function requireInternalSignature(
  tag: typeof HASH_TAG.publicDecryption | typeof HASH_TAG.userDecryption,
  answer: Answer,
  verificationKey: Uint8Array,
  signer: string,
): void {
  const key = parseVerificationKeyField(verificationKey);
  const found = formatAddress(addressOfCompressedKey(key));
  if (found !== signer) {
    const cure = 'check --signer against the address that you trust';
    throw failure('PERMISSION_DENIED', `the answer is of the node ${found}, not of ${signer}`, cure);
  }
  if (!verifyInternalSignature(tag, fromHex(answer.payload), fromHex(answer.signature), key)) {
    throw mismatch('the signature over the payload does not verify');
  }
}

function mismatch(what: string): Error {
  return failure('REQUEST_INVALID', what, 'do not use this answer: it was changed');
}
