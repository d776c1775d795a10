/**
 * The client's checks of a centralized node's answers: nothing of a response is believed that a signature of the
 * expected node does not cover. Pure; the only secret is the user's seed.
 */
import { equalBytes } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import type { PublicDecryptionResponse, UserDecryptionResponse } from '../proto/gen/kms_pb.js';
import { abiEncodePlaintexts } from './abi-plaintexts.ts';
import { type Domain, publicDecryptDigest, userDecryptionLink, userDecryptResponseDigest } from './eip712.ts';
import { HASH_TAG } from './hash.ts';
import { parseRequestId, type RequestId } from './ids.ts';
import {
  encodePublicDecryptionPayload,
  encodeUserDecryptionPayload,
  hasPlaintextWidth,
  parseVerificationKeyField,
  type TypedPlaintextData,
} from './payloads.ts';
import { addressOfCompressedKey, recoverSigner, verifyInternalSignature } from './signatures.ts';
import { unsigncrypt } from './signcryption.ts';

/** What a client asked and whom it trusts. */
export interface ExpectedAnswer {
  readonly domain: Domain;
  /** External handles in the order of the request. */
  readonly handles: readonly Uint8Array[];
  /** Extra data that the node must have signed. */
  readonly extraData: Uint8Array;
  /** Address of the node, 20 bytes. */
  readonly signer: Uint8Array;
}

/** What the user of a user decryption knows besides. */
export interface ExpectedUserAnswer extends ExpectedAnswer {
  readonly clientAddress: Uint8Array;
  readonly encKey: Uint8Array;
  /** SECRET: seed of the user's key. */
  readonly seed: Uint8Array;
}

const CENTRALIZED = { partyId: 1, degree: 0, packingFactor: 1 } as const;

/**
 * Verifies the answer of a public decryption and returns its plaintexts, in the order of the request.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` naming the check that failed.
 */
export function verifyPublicDecryption(
  response: PublicDecryptionResponse,
  expected: ExpectedAnswer & { readonly requestId?: RequestId },
): readonly TypedPlaintextData[] {
  const { payload } = response;
  if (payload === undefined) throw refused('it has no payload');
  const plaintexts: TypedPlaintextData[] = payload.plaintexts.map(({ bytes, fheType }) => ({ bytes, fheType }));
  if (plaintexts.length !== expected.handles.length) throw refused('it has another number of plaintexts');
  if (!plaintexts.every(hasPlaintextWidth)) throw refused('a plaintext is not as wide as its type');
  checkExtraData(response.extraData, expected);
  const requestId = payload.requestId && parseRequestId(payload.requestId.requestId);
  if (expected.requestId !== undefined && requestId !== expected.requestId) throw refused('it answers another request');

  const digest = publicDecryptDigest({
    domain: expected.domain,
    ctHandles: expected.handles,
    decryptedResult: abiEncodePlaintexts(plaintexts),
    extraData: expected.extraData,
  });
  checkExternalSignature(digest, response.externalSignature, expected);
  const encoded = encodePublicDecryptionPayload({ verificationKey: payload.verificationKey, plaintexts, requestId });
  checkNodeKey(payload.verificationKey, HASH_TAG.publicDecryption, encoded, response.signature, expected);
  return plaintexts;
}

/**
 * Verifies the answer of a user decryption, opens it and returns its plaintexts, in the order of the request.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` or `CIPHERTEXT_INVALID` naming the check that failed.
 */
export function verifyUserDecryption(
  response: UserDecryptionResponse,
  expected: ExpectedUserAnswer,
): readonly TypedPlaintextData[] {
  const { payload } = response;
  if (payload === undefined) throw refused('it has no payload');
  const { verificationKey, digest, partyId, degree } = payload;
  if (partyId !== CENTRALIZED.partyId || degree !== CENTRALIZED.degree)
    throw refused('it is not of a centralized node');
  checkExtraData(response.extraData, expected);
  const { domain, handles, encKey, clientAddress } = expected;
  const link = userDecryptionLink({ domain, publicKey: encKey, handles, userAddress: clientAddress });
  if (!equalBytes(digest, link)) throw refused('it is linked to another request');

  const signcryptedCiphertexts = payload.signcryptedCiphertexts.map((item) => ({
    fheType: item.fheType,
    signcryptedCiphertext: item.signcryptedCiphertext,
    externalHandle: item.externalHandle,
    packingFactor: item.packingFactor,
  }));
  const encoded = encodeUserDecryptionPayload({ verificationKey, digest, signcryptedCiphertexts, partyId, degree });
  const signedDigest = userDecryptResponseDigest({
    domain,
    publicKey: encKey,
    ctHandles: handles,
    userDecryptedShare: encoded,
    extraData: expected.extraData,
  });
  checkExternalSignature(signedDigest, response.externalSignature, expected);
  const nodeKey = checkNodeKey(verificationKey, HASH_TAG.userDecryption, encoded, response.signature, expected);

  if (signcryptedCiphertexts.length !== handles.length) throw refused('it has another number of plaintexts');
  return signcryptedCiphertexts.map((item, index) => {
    if (!equalBytes(item.externalHandle, handles[index] ?? new Uint8Array(0))) throw refused('a handle differs');
    if (item.packingFactor !== CENTRALIZED.packingFactor) throw refused('it is not of a centralized node');
    const binding = { encKey, clientAddress, link, verificationKey: nodeKey };
    const plaintext = unsigncrypt(item.signcryptedCiphertext, expected.seed, binding);
    if (plaintext.fheType !== item.fheType) throw refused('a plaintext has another type than it says');
    return plaintext;
  });
}

function checkExtraData(extraData: Uint8Array, expected: ExpectedAnswer): void {
  if (!equalBytes(extraData, expected.extraData)) throw refused('its extra data differ');
}

function checkExternalSignature(digest: Uint8Array, signature: Uint8Array, expected: ExpectedAnswer): void {
  if (!equalBytes(recoverSigner(digest, signature), expected.signer)) {
    throw refused('its external signature is not of the expected node, or what it signs was changed');
  }
}

function checkNodeKey(
  verificationKey: Uint8Array,
  tag: typeof HASH_TAG.publicDecryption | typeof HASH_TAG.userDecryption,
  payload: Uint8Array,
  signature: Uint8Array,
  expected: ExpectedAnswer,
): Uint8Array {
  const compressed = parseVerificationKeyField(verificationKey);
  if (!equalBytes(addressOfCompressedKey(compressed), expected.signer)) throw refused('it names another node key');
  if (!verifyInternalSignature(tag, payload, signature, compressed)) throw refused('its signature does not verify');
  return compressed;
}

function refused(reason: string): KmsError {
  return new KmsError('REQUEST_INVALID', `the answer is not to be trusted: ${reason}`);
}
