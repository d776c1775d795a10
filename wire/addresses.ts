/** Ethereum addresses: 20 bytes, written with the EIP-55 mixed-case checksum. Everything here is public. */
import { keccak_256 } from '@noble/hashes/sha3.js';
import { fromHex, toHex } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';

/** Keccak-256. Passed in where it is called often, so that the engine and the Core can use native code. */
export type Keccak256 = (data: Uint8Array) => Uint8Array;

/** Keccak-256 in plain JavaScript: the default wherever speed does not matter. */
export const keccak256: Keccak256 = keccak_256;

/** Length of an address, in bytes. */
export const ADDRESS_BYTES = 20;

const SHAPE = /^0x[0-9a-fA-F]{40}$/;
const NINE = 0x39;
const LOWER_A = 0x61;

/**
 * Parses an address that carries its checksum.
 *
 * @param field - Name of the field for the error.
 * @throws {@link KmsError} `REQUEST_INVALID` for another shape or a wrong checksum; all lower case is wrong too.
 */
export function parseAddress(text: string, field = 'address', keccak: Keccak256 = keccak256): Uint8Array {
  if (SHAPE.test(text)) {
    const digits = text.slice(2);
    if (hasChecksum(digits, keccak)) return fromHex(digits);
  }
  throw new KmsError('REQUEST_INVALID', `${field} must be a 0x address with its EIP-55 checksum`, { field });
}

/** Returns the checksummed text of the 20 bytes. */
export function formatAddress(bytes: Uint8Array, keccak: Keccak256 = keccak256): string {
  if (bytes.byteLength !== ADDRESS_BYTES) {
    throw new KmsError('REQUEST_INVALID', 'an address has 20 bytes', { sizeBytes: bytes.byteLength });
  }
  const digits = toHex(bytes);
  const checksum = keccak(Buffer.from(digits, 'latin1'));
  let text = '0x';
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charAt(i);
    text += isUpper(checksum, i) ? digit.toUpperCase() : digit;
  }
  return text;
}

/** Whether every letter of 40 digits is in the case that the checksum gives it. Each request has one: nothing is built. */
function hasChecksum(digits: string, keccak: Keccak256): boolean {
  const checksum = keccak(Buffer.from(digits.toLowerCase(), 'latin1'));
  for (let i = 0; i < digits.length; i++) {
    const code = digits.charCodeAt(i);
    if (code > NINE && code < LOWER_A !== isUpper(checksum, i)) return false;
  }
  return true;
}

/** Whether EIP-55 writes the letter at `i` in upper case: by the nibble there of the hash of all in lower case. */
function isUpper(checksum: Uint8Array, i: number): boolean {
  return (((checksum[i >> 1] ?? 0) >> (i % 2 === 0 ? 4 : 0)) & 15) >= 8;
}

/**
 * Returns the address of a secp256k1 key.
 *
 * @param uncompressed - SEC1 point, 65 bytes.
 */
export function addressOfPublicKey(uncompressed: Uint8Array, keccak: Keccak256 = keccak256): Uint8Array {
  if (uncompressed.byteLength !== 65 || uncompressed[0] !== 4) {
    throw new KmsError('REQUEST_INVALID', 'needs an uncompressed public key of 65 bytes', {
      sizeBytes: uncompressed.byteLength,
    });
  }
  return keccak(uncompressed.subarray(1)).slice(-ADDRESS_BYTES);
}
