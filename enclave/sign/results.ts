/**
 * Signs what generations produced, and turns stored metadata into the result messages of kms.v1.
 *
 * Results are rebuilt from metadata alone, so that a restarted engine hands out the very same bytes and signatures.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import {
  type CrsGenResult,
  CrsGenResultSchema,
  type KeyGenResult,
  KeyGenResultSchema,
} from '../../proto/gen/kms_pb.js';
import { crsgenDigest, decompressionUpgradeDigest, isSignedKeyType, keygenDigest } from '../../wire/eip712.ts';
import { HASH_TAG } from '../../wire/hash.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { CrsGenMetadata, KeyGenMetadata } from '../../wire/metadata.ts';
import { encodeCrsSignedPayload, encodeKeygenSignedPayload, type ObjectDigest } from '../../wire/signed-payloads.ts';
import type { SignedRequest } from '../../wire/validate/common.ts';
import type { AnswerSigner } from './answer-signer.ts';

/** What a key generation signs. */
export interface KeyGenContent {
  readonly request: SignedRequest;
  readonly keyId: RequestId;
  readonly preprocessingId: RequestId;
  /** In the order of the types. */
  readonly keyDigests: readonly ObjectDigest[];
}

/** Signs a key set: EIP-712 struct KeygenVerification. */
export function signKeySet(signer: AnswerSigner, content: KeyGenContent): KeyGenMetadata {
  const { request, keyId, preprocessingId, keyDigests } = content;
  const { domain, extraData } = request;
  const signedDigests = keyDigests.flatMap(({ type, digest }) => (isSignedKeyType(type) ? [{ type, digest }] : []));
  const digest = keygenDigest(
    { domain, prepKeygenId: preprocessingId, keyId, keyDigests: signedDigests, extraData },
    signer.keccak,
  );
  return signed(signer, content, digest);
}

/** Signs a decompression key: EIP-712 struct FheDecompressionUpgradeKey. */
export function signDecompressionKey(
  signer: AnswerSigner,
  content: KeyGenContent,
  keyDigest: Uint8Array,
): KeyGenMetadata {
  const { domain, extraData } = content.request;
  return signed(signer, content, decompressionUpgradeDigest({ domain, keyDigest, extraData }, signer.keccak));
}

function signed(signer: AnswerSigner, content: KeyGenContent, digest: Uint8Array): KeyGenMetadata {
  const { request, keyId, preprocessingId, keyDigests } = content;
  const { extraData } = request;
  const body = () => encodeKeygenSignedPayload({ prepId: preprocessingId, keyId, keyDigests, extraData });
  const { external, typed } = signer.signResult(HASH_TAG.key, body, digest, request.signingSchemes);
  return { keyId, preprocessingId, keyDigests, extraData, externalSignature: external, signatures: typed };
}

/** Signs a CRS: EIP-712 struct CrsgenVerification. */
export function signCrs(
  signer: AnswerSigner,
  request: SignedRequest,
  { crsDigest, maxNumBits }: { readonly crsDigest: Uint8Array; readonly maxNumBits: number },
): CrsGenMetadata {
  const { domain, extraData, requestId: crsId } = request;
  const digest = crsgenDigest({ domain, crsId, maxBitLength: maxNumBits, crsDigest, extraData }, signer.keccak);
  const body = () => encodeCrsSignedPayload({ crsId, maxNumBits, crsDigest, extraData });
  const { external, typed } = signer.signResult(HASH_TAG.crs, body, digest, request.signingSchemes);
  return { crsId, crsDigest, maxNumBits, extraData, externalSignature: external, signatures: typed };
}

/** Returns the result message of a key generation. */
export function keyGenResult(metadata: KeyGenMetadata): KeyGenResult {
  const { keyId, preprocessingId, keyDigests, externalSignature, signatures } = metadata;
  return create(KeyGenResultSchema, {
    requestId: { requestId: keyId },
    preprocessingId: { requestId: preprocessingId },
    keyDigests: keyDigests.map(({ type, digest }) => ({ keyType: type, digest })),
    externalSignature,
    signatures: signatures.map(({ scheme, signature }) => ({ scheme, signature })),
  });
}

/** Returns the result message of a CRS generation. */
export function crsGenResult(metadata: CrsGenMetadata): CrsGenResult {
  const { crsId, crsDigest, maxNumBits, externalSignature, signatures } = metadata;
  return create(CrsGenResultSchema, {
    requestId: { requestId: crsId },
    crsDigest,
    maxNumBits,
    externalSignature,
    signatures: signatures.map(({ scheme, signature }) => ({ scheme, signature })),
  });
}

/** Returns an encoded kms.v1.KeyGenResult. */
export function encodeKeyGenResult(metadata: KeyGenMetadata): Uint8Array {
  return toBinary(KeyGenResultSchema, keyGenResult(metadata));
}

/** Returns an encoded kms.v1.CrsGenResult. */
export function encodeCrsGenResult(metadata: CrsGenMetadata): Uint8Array {
  return toBinary(CrsGenResultSchema, crsGenResult(metadata));
}
