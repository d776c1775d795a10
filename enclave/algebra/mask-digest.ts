/**
 * D, the digest that a decryption's masks are derived from: a function of the numbers that they hide, and of nothing
 * that a request could choose besides (threshold-protocols §3.5 (a), docs/security/decryption-masks.md).
 */
import { blake3 } from '@noble/hashes/blake3.js';
import { concatBytes } from '../../common/bytes.ts';
import { encodeWord } from './ring-encoding.ts';
import { digestLabel } from './set-prf.ts';
import { CIPHERTEXT_FORMAT, type Squashed, samplesOf, squashedBytes } from './squashed-ciphertext.ts';

/** Numbers of the secret keys, in the order of their generation. */
export const SECRET_KEY_KIND = {
  publicEncryption: 0,
  compute: 1,
  glwe: 2,
  compression: 3,
  squash: 4,
  squashCompression: 5,
  oprf: 6,
} as const;

/** What a mask is bound to besides the ciphertext; 32 bytes each. */
export interface MaskNames {
  readonly context: Uint8Array;
  readonly epoch: Uint8Array;
  /** Digest of the ceremony that made the shares. */
  readonly sharingId: Uint8Array;
  readonly keyId: Uint8Array;
}

/**
 * D = BLAKE3-256("arca-mask-1" ‖ context ‖ epoch ‖ sharing id ‖ key id ‖ kind ‖ 128 ‖ format ‖ block count, u32 LE ‖
 * all words that the dot product reads); kind, ring and format are one byte each.
 */
export function maskDigest(names: MaskNames, kind: keyof typeof SECRET_KEY_KIND, ciphertext: Squashed): Uint8Array {
  return blake3(
    concatBytes(
      digestLabel('mask'),
      names.context,
      names.epoch,
      names.sharingId,
      names.keyId,
      Uint8Array.of(SECRET_KEY_KIND[kind], 128, CIPHERTEXT_FORMAT[ciphertext.format]),
      encodeWord(BigInt(samplesOf(ciphertext).length), 4),
      squashedBytes(ciphertext),
    ),
  );
}
