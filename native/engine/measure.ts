/**
 * How many bytes an object of the tfhe library takes at the start of others.
 *
 * Secret face: client keys are measured too. Private objects of the published layout write no lengths, so that only the
 * library knows where one ends (kms-service.md section 6.4).
 */
import { attempt, native } from './load.ts';

/** Kinds of objects that are measured, in their versioned encoding without header. */
export type MeasuredKind =
  | 'ClientKey'
  | 'ServerKey'
  | 'NoiseSquashingKey'
  | 'DecompressionKey'
  | 'CompressedXofKeySet'
  | 'PbsParameters'
  | 'CompressionParameters';

const lib = native<{ measureObject(kind: MeasuredKind, bytes: Uint8Array): number }>(['measureObject']);

/**
 * Returns how many bytes the object takes at the start of `bytes`. Reads all of it: a second at production size.
 *
 * @throws {@link KmsError} `KEY_INVALID` if there is none of this kind, or one of a newer library.
 */
export function measureObject(kind: MeasuredKind, bytes: Uint8Array): number {
  return attempt(() => lib.measureObject(kind, bytes));
}
