/**
 * Bytes of ring elements: coefficients 0 to 3, each little-endian in k/8 bytes, nothing before or between
 * (threshold-protocols §1.1). A vector is its elements one after the other.
 */
import { concatBytes, fromHex, toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { DEGREE, type Element, type GaloisRing } from './galois-ring.ts';

/** Writes the low `sizeBytes` bytes of a word, little-endian. */
export function encodeWord(word: bigint, sizeBytes: number): Uint8Array<ArrayBuffer> {
  const low = BigInt.asUintN(8 * sizeBytes, word);
  return fromHex(low.toString(16).padStart(2 * sizeBytes, '0')).reverse();
}

/** Reads a little-endian word out of all the bytes given. */
export function decodeWord(bytes: Uint8Array): bigint {
  return BigInt(`0x0${toHex(bytes.toReversed())}`);
}

/** Writes one element: 32 bytes in GR(2^64, 4), 64 in GR(2^128, 4). */
export function encodeElement(ring: GaloisRing, element: Element): Uint8Array<ArrayBuffer> {
  return concatBytes(...element.map((word) => encodeWord(word, ring.bits / 8)));
}

/** Reads one element; every string of the right length is one. @throws {@link KmsError} `REQUEST_INVALID`: wrong length. */
export function decodeElement(ring: GaloisRing, bytes: Uint8Array): Element {
  const size = ring.bits / 8;
  if (bytes.byteLength !== DEGREE * size) {
    throw new KmsError('REQUEST_INVALID', `a ring element has ${DEGREE * size} bytes`, { sizeBytes: bytes.byteLength });
  }
  const word = (i: number): bigint => decodeWord(bytes.subarray(i * size, (i + 1) * size));
  return [word(0), word(1), word(2), word(3)];
}

/** Writes a vector of elements. */
export function encodeVector(ring: GaloisRing, elements: readonly Element[]): Uint8Array<ArrayBuffer> {
  return concatBytes(...elements.map((element) => encodeElement(ring, element)));
}

/** Reads a vector. @throws {@link KmsError} `REQUEST_INVALID` if the length is no multiple of an element's. */
export function decodeVector(ring: GaloisRing, bytes: Uint8Array): Element[] {
  const size = (DEGREE * ring.bits) / 8;
  const count = Math.ceil(bytes.byteLength / size);
  return Array.from({ length: count }, (_, i) => decodeElement(ring, bytes.subarray(i * size, (i + 1) * size)));
}
