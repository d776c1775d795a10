/** Plaintext types and ciphertext formats: numbers, names and widths as the wire has them. */
import { CiphertextFormat } from '../proto/gen/kms_pb.js';

/** A type of plaintext. */
export interface FheTypeInfo {
  /** Number in requests and responses, and in the second-last byte of a handle. */
  readonly number: number;
  readonly name: string;
  readonly bits: number;
  /** Length of the little-endian plaintext. */
  readonly sizeBytes: number;
  /** Whether a public decryption can be ABI-encoded and signed. */
  readonly abiEncodable: boolean;
}

function type(number: number, name: string, bits: number, abiEncodable = true): FheTypeInfo {
  return { number, name, bits, sizeBytes: Math.ceil(bits / 8), abiEncodable };
}

/** All types with a number of their own here, in the order of their numbers. */
export const FHE_TYPES: readonly FheTypeInfo[] = [
  type(0, 'Bool', 1),
  type(1, 'Uint4', 4, false),
  type(2, 'Uint8', 8),
  type(3, 'Uint16', 16),
  type(4, 'Uint32', 32),
  type(5, 'Uint64', 64),
  type(6, 'Uint128', 128),
  type(7, 'Uint160', 160),
  type(8, 'Uint256', 256),
  type(9, 'Uint512', 512, false),
  type(10, 'Uint1024', 1024, false),
  type(11, 'Uint2048', 2048, false),
];

/** Returns the type with this number, or undefined if it is unknown. */
export function fheType(number: number): FheTypeInfo | undefined {
  return FHE_TYPES[number];
}

/** Returns the type with this name, in any case and with or without `e` or `fhe` in front (`euint64`, `ebool`). */
export function fheTypeByName(name: string): FheTypeInfo | undefined {
  const wanted = name.toLowerCase().replace(/^(?:fhe|e)/, '');
  return FHE_TYPES.find((candidate) => candidate.name.toLowerCase() === wanted);
}

/** Names of the ciphertext formats, by number. */
export const CIPHERTEXT_FORMATS: readonly string[] = [
  CiphertextFormat[CiphertextFormat.SmallCompressed],
  CiphertextFormat[CiphertextFormat.SmallExpanded],
  CiphertextFormat[CiphertextFormat.BigCompressed],
  CiphertextFormat[CiphertextFormat.BigExpanded],
];
