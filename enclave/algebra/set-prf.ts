/**
 * The pseudorandom functions of a set's key r_A: φ for masks, ψ for sharings, χ for sharings of zero, each keyed by a
 * digest of what it is used for (threshold-protocols §2.7, §3.5 (a) and (f)). Keys and outputs are secret.
 */
import { createCipheriv } from 'node:crypto';
import { blake3 } from '@noble/hashes/blake3.js';
import { concatBytes } from '../../common/bytes.ts';
import { type Element, type GaloisRing, mapElement } from './galois-ring.ts';
import { decodeWord, encodeWord } from './ring-encoding.ts';

/** log₂ B: one value of φ lies in [-B, B). */
export const MASK_BOUND_BITS = 110n;

/** One set that a party is in, and its 32-byte key r_A. */
export interface SetKey {
  readonly set: readonly number[];
  readonly key: Uint8Array;
}

/** What one setting of the functions is for; the number of a family of §2.7 goes into its digest. */
export const PRSS_FAMILY = { psi: 0, chi: 1 } as const;

/** The 11 bytes that a digest begins with. Nothing is signed under them. */
export const digestLabel = (use: 'mask' | 'prss' | 'zero'): Uint8Array => new TextEncoder().encode(`arca-${use}-1`);

/** D' = BLAKE3-256("arca-prss-1" ‖ family, one byte ‖ session id, 32 bytes). */
export function prssDigest(family: keyof typeof PRSS_FAMILY, sessionId: Uint8Array): Uint8Array {
  return blake3(concatBytes(digestLabel('prss'), Uint8Array.of(PRSS_FAMILY[family]), sessionId));
}

const encrypt = (cipher: string, key: Uint8Array, block: Uint8Array): Uint8Array =>
  createCipheriv(cipher, key, null).setAutoPadding(false).update(block);

/** K_A = AES-256_{r_A}(AES-256_{r_A}(D_hi) ⊕ D_lo), 16 bytes; D_hi is the first half of the digest. */
export function derivePrfKey(key: Uint8Array, digest: Uint8Array): Uint8Array {
  const first = encrypt('aes-256-ecb', key, digest.subarray(0, 16));
  const second = first.map((byte, i) => byte ^ (digest[16 + i] ?? 0));
  return encrypt('aes-256-ecb', key, second);
}

/** φ_A(counter) = -B + (AES-128_{K_A}(counter, little-endian) mod 2B). */
export function phi(prfKey: Uint8Array, counter: bigint): bigint {
  const word = decodeWord(encrypt('aes-128-ecb', prfKey, encodeWord(counter, 16)));
  return BigInt.asUintN(Number(MASK_BOUND_BITS) + 1, word) - (1n << MASK_BOUND_BITS);
}

/** ψ_A(counter), an element of the ring: coefficient i from the block with i in byte 14; counter < 2^112. */
export function psi(ring: GaloisRing, prfKey: Uint8Array, counter: bigint): Element {
  return coefficients(ring, prfKey, encodeWord(counter, 16));
}

/** χ_A(counter, j): as ψ, with j in byte 13; counter < 2^104, 1 ≤ j ≤ t. */
export function chi(ring: GaloisRing, prfKey: Uint8Array, counter: bigint, j: number): Element {
  return coefficients(ring, prfKey, encodeWord(counter, 16).with(13, j));
}

function coefficients(ring: GaloisRing, prfKey: Uint8Array, input: Uint8Array): Element {
  const each = (i: number): bigint => decodeWord(encrypt('aes-128-ecb', prfKey, input.with(14, i)));
  return ring.element(mapElement(ring.zero, (_, i) => each(i)));
}
