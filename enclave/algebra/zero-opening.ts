/**
 * The encryptions of zero that a key set comes with, and a party's masked share of one: opened once an epoch, unpacked,
 * they show that all parties share bits and mask with the same keys (threshold-protocols §3.5 (d)).
 */
import { blake3 } from '@noble/hashes/blake3.js';
import { concatBytes } from '../../common/bytes.ts';
import { openingBound, phaseShare } from './decryption.ts';
import { type Element, GR128 } from './galois-ring.ts';
import { type MaskNames, SECRET_KEY_KIND } from './mask-digest.ts';
import { maskShare, type SetUp } from './prss.ts';
import { decodeWord, encodeWord } from './ring-encoding.ts';
import { digestLabel } from './set-prf.ts';
import type { Sample } from './squashed-ciphertext.ts';

/** Keys that squashed ciphertexts are under, each with an encryption of zero, in this order. */
export const ZERO_KINDS = ['squash', 'squashCompression'] as const;

/** One of {@link ZERO_KINDS}. */
export type ZeroKind = (typeof ZERO_KINDS)[number];

/** Stands in the digest where a ciphertext has the number of its format. */
const ZERO_FORMAT = 0xff;

/** The masks of an encryption of zero: the words of BLAKE3-XOF("arca-zero-1" ‖ sharing id ‖ kind, one byte). */
export function zeroMask(sharingId: Uint8Array, kind: ZeroKind, dimension: number): bigint[] {
  const input = concatBytes(digestLabel('zero'), sharingId, Uint8Array.of(SECRET_KEY_KIND[kind]));
  const words = blake3(input, { dkLen: 16 * dimension });
  return Array.from({ length: dimension }, (_, i) => decodeWord(words.subarray(16 * i, 16 * (i + 1))));
}

/** b - ⟨a, s_i⟩ and this party's share of the mask of block 0, in an element of its own. */
export function zeroShare(
  keyShare: readonly Element[],
  setUp: SetUp,
  names: MaskNames,
  kind: ZeroKind,
  sample: Sample,
): Element {
  const words = [...sample.mask, sample.body].map((word) => encodeWord(word, 16));
  const digest = blake3(
    concatBytes(
      digestLabel('mask'),
      names.context,
      names.epoch,
      names.sharingId,
      names.keyId,
      Uint8Array.of(SECRET_KEY_KIND[kind], 128, ZERO_FORMAT),
      encodeWord(1n, 4),
      ...words,
    ),
  );
  return GR128.add(phaseShare(keyShare, sample), maskShare(setUp, digest, 0));
}

/** Whether what opened is zero and a mask: an integer within the bound, and nothing at X, X², X³. */
export function isMaskedZero([constant, ...rest]: Element, n: number, t: number): boolean {
  const bound = openingBound(n, t);
  const value = BigInt.asIntN(128, constant);
  return value <= bound && value >= -bound && rest.every((word) => word === 0n);
}
