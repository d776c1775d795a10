/** Structural checks of the requests that make things: preprocessing, keys, CRSs. */
import {
  CompressedKeyConfig,
  ComputeKeyType,
  type CrsGenRequest,
  type KeyGenPreprocRequest,
  type KeyGenRequest,
  KeyGenSecretKeyConfig,
  type KeySetAddedInfo,
  type KeySetConfig,
  KeySetType,
  type PartialKeyGenPreprocRequest,
} from '../../proto/gen/kms_pb.js';
import { type Keccak256, keccak256 } from '../addresses.ts';
import type { RequestId } from '../ids.ts';
import { type FheParams, invalidField, parseParams, parseSigned, requiredId, type SignedRequest } from './common.ts';

/** The kind of keyset that preprocessing is for. */
type KeysetKind =
  | { readonly kind: 'standard'; readonly secretKey: 'generate' | 'use-existing'; readonly compressed: boolean }
  | { readonly kind: 'decompression-only' };

/** What a key generation makes, with the ids that it needs. */
export type KeysetPlan =
  | { readonly kind: 'generate'; readonly compressed: boolean }
  | {
      readonly kind: 'use-existing';
      readonly compressed: boolean;
      readonly existingKeyId: RequestId;
      readonly useExistingKeyTag: boolean;
      readonly copyCompressedKeyToOriginal: boolean;
    }
  | { readonly kind: 'decompression-only'; readonly fromKeyId: RequestId; readonly toKeyId: RequestId };

/** A preprocessing, checked. */
export interface KeyGenPreproc extends SignedRequest {
  readonly params: FheParams;
  readonly keyset: KeysetKind;
}

/** A preprocessing of which only a part is run, checked. */
export interface PartialKeyGenPreproc {
  readonly base: KeyGenPreproc;
  /** 0 to 100. */
  readonly percentageOffline: number;
  readonly storeDummyPreprocessing: boolean;
}

/** A key generation, checked. */
export interface KeyGen extends SignedRequest {
  /** Overrides those of the preprocessing when present. */
  readonly params?: FheParams;
  readonly preprocId: RequestId;
  readonly keyset: KeysetPlan;
}

/** A CRS generation, checked. */
export interface CrsGen extends SignedRequest {
  readonly params: FheParams;
  /** A power of two, at most {@link MAX_CRS_BITS}. */
  readonly maxNumBits: number;
}

/** Largest and default `max_num_bits`. */
const MAX_CRS_BITS = 2048;

/** Checks a preprocessing request. Throws `REQUEST_INVALID` naming the field. */
export function parseKeyGenPreproc(message: KeyGenPreprocRequest, keccak: Keccak256 = keccak256): KeyGenPreproc {
  return {
    ...parseSigned(message, keccak),
    params: parseParams(message.params),
    keyset: parseKeysetKind(message.keysetConfig),
  };
}

/** Checks a partial preprocessing request; without `partial_params` all of it runs. */
export function parsePartialKeyGenPreproc(
  message: PartialKeyGenPreprocRequest,
  keccak: Keccak256 = keccak256,
): PartialKeyGenPreproc {
  if (message.baseRequest === undefined) throw invalidField('base_request', 'is missing');
  const percentageOffline = message.partialParams?.percentageOffline ?? 100;
  if (percentageOffline > 100) throw invalidField('percentage_offline', 'must be 0 to 100', { percentageOffline });
  return {
    base: parseKeyGenPreproc(message.baseRequest, keccak),
    percentageOffline,
    storeDummyPreprocessing: message.partialParams?.storeDummyPreprocessing ?? false,
  };
}

/** Checks a key generation request. Throws `REQUEST_INVALID` naming the field. */
export function parseKeyGen(message: KeyGenRequest, keccak: Keccak256 = keccak256): KeyGen {
  return {
    ...parseSigned(message, keccak),
    ...(message.params === undefined ? {} : { params: parseParams(message.params) }),
    preprocId: requiredId(message.preprocId, 'preproc_id'),
    keyset: parseKeysetPlan(parseKeysetKind(message.keysetConfig), message.keysetAddedInfo),
  };
}

/** Checks a CRS generation request. Throws `REQUEST_INVALID` naming the field. */
export function parseCrsGen(message: CrsGenRequest, keccak: Keccak256 = keccak256): CrsGen {
  const maxNumBits = message.maxNumBits ?? MAX_CRS_BITS;
  if (maxNumBits < 1 || maxNumBits > MAX_CRS_BITS || (maxNumBits & (maxNumBits - 1)) !== 0) {
    throw invalidField('max_num_bits', `must be a power of two from 1 to ${MAX_CRS_BITS}`, { maxNumBits });
  }
  return { ...parseSigned(message, keccak), params: parseParams(message.params), maxNumBits };
}

function parseKeysetKind(config: KeySetConfig | undefined): KeysetKind {
  if (config === undefined) return { kind: 'standard', secretKey: 'generate', compressed: true };
  const { keysetType, standardKeysetConfig } = config;
  if (keysetType === KeySetType.DecompressionOnly) return { kind: 'decompression-only' };
  if (keysetType !== KeySetType.Standard) throw invalidField('keyset_type', 'is unknown', { number: keysetType });
  if (standardKeysetConfig === undefined) throw invalidField('standard_keyset_config', 'is missing');

  const { computeKeyType, secretKeyConfig, compressedKeyConfig } = standardKeysetConfig;
  if (computeKeyType !== ComputeKeyType.CPU) {
    throw invalidField('compute_key_type', 'must be 0 (CPU)', { number: computeKeyType });
  }
  if (secretKeyConfig !== KeyGenSecretKeyConfig.GenerateAll && secretKeyConfig !== KeyGenSecretKeyConfig.UseExisting) {
    throw invalidField('secret_key_config', 'is unknown', { number: secretKeyConfig });
  }
  return {
    kind: 'standard',
    secretKey: secretKeyConfig === KeyGenSecretKeyConfig.UseExisting ? 'use-existing' : 'generate',
    // As published: any other number is compressed.
    compressed: compressedKeyConfig !== CompressedKeyConfig.CompressedNone,
  };
}

function parseKeysetPlan(keyset: KeysetKind, added: KeySetAddedInfo | undefined): KeysetPlan {
  if (keyset.kind === 'decompression-only') {
    return {
      kind: 'decompression-only',
      fromKeyId: requiredId(added?.fromKeysetIdDecompressionOnly, 'from_keyset_id_decompression_only'),
      toKeyId: requiredId(added?.toKeysetIdDecompressionOnly, 'to_keyset_id_decompression_only'),
    };
  }
  if (keyset.secretKey === 'generate') return { kind: 'generate', compressed: keyset.compressed };
  return {
    kind: 'use-existing',
    compressed: keyset.compressed,
    existingKeyId: requiredId(added?.existingKeysetId, 'existing_keyset_id'),
    useExistingKeyTag: added?.useExistingKeyTag ?? false,
    // Means something for compressed keysets only; elsewhere the published service ignores it too.
    copyCompressedKeyToOriginal: keyset.compressed && (added?.copyCompressedKeyToOriginal ?? false),
  };
}
