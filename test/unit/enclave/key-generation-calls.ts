/** Key generations over the link, and what is checked of each. */
import { createHash } from 'node:crypto';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CompressedKeyConfig,
  type KeyGenRequestSchema,
  KeyGenResultSchema,
  KeyGenSecretKeyConfig,
  type KeySetAddedInfoSchema,
  KeySetType,
  PublicDecryptionRequestSchema,
  PublicDecryptionResponseSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { type Fields, handleOf, idOf, publicDecryptionRequest } from '../../helpers/requests.ts';
import { keyGenCall } from '../../helpers/test-engine.ts';

/** Fields of a request that a test sets. */
export type KeyGenOverrides = Fields<typeof KeyGenRequestSchema>;

/** The domain of the requests, in the words of viem. */
export const DOMAIN = {
  name: 'Authorization token',
  version: '1',
  chainId: 8006,
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
} as const;

/** A request for an uncompressed key set. */
export const uncompressed = {
  keysetConfig: {
    keysetType: KeySetType.Standard,
    standardKeysetConfig: { compressedKeyConfig: CompressedKeyConfig.CompressedNone },
  },
} satisfies KeyGenOverrides;

/** A request that takes the secret of an existing key. */
export const useExisting = (existing: number, added: Fields<typeof KeySetAddedInfoSchema> = {}) =>
  ({
    keysetConfig: {
      keysetType: KeySetType.Standard,
      standardKeysetConfig: { secretKeyConfig: KeyGenSecretKeyConfig.UseExisting },
    },
    keysetAddedInfo: { existingKeysetId: { requestId: idOf(existing) }, ...added },
  }) satisfies KeyGenOverrides;

/** A request for a decompression key between two keys. */
export const decompressionOnly = (from: number, to: number) =>
  ({
    keysetConfig: { keysetType: KeySetType.DecompressionOnly },
    keysetAddedInfo: {
      fromKeysetIdDecompressionOnly: { requestId: idOf(from) },
      toKeysetIdDecompressionOnly: { requestId: idOf(to) },
    },
  }) satisfies KeyGenOverrides;

/** An id in the form of a field. */
export const idMessage = (n: number) => ({ requestId: { requestId: idOf(n) } });

/** Runs a key generation to its end and reads its result. */
export async function generate(link: EngineTestLink, overrides: KeyGenOverrides = {}) {
  return fromBinary(KeyGenResultSchema, await link.call(ENGINE_METHOD.keyGen, keyGenCall(overrides)));
}

/** What a ciphertext holds under a key, if that opens it. */
export async function opens(link: EngineTestLink, keyId: string, ciphertext: Uint8Array): Promise<number | undefined> {
  const request = publicDecryptionRequest({
    keyId: { requestId: keyId },
    ciphertexts: [{ ciphertext, fheType: 5, ciphertextFormat: 2, externalHandle: handleOf(1) }],
  });
  const body = toBinary(PublicDecryptionRequestSchema, request);
  const answer = await link.call(ENGINE_METHOD.publicDecrypt, body);
  return fromBinary(PublicDecryptionResponseSchema, answer).payload?.plaintexts[0]?.bytes[0];
}

/** A digest as the published KMS makes it. */
export function shake(tag: string, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash('shake256', { outputLength: 32 }).update(tag).update(bytes).digest());
}
