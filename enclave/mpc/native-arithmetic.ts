/** The arithmetic of protocols on the native kernels: elements stay in Rust memory, decoding runs on the thread pool. */
import { bivariateShare, evaluate, extract, openRobust, type Ring, ShareVector } from '../../native/engine/index.ts';
import type { Arithmetic } from './arithmetic.ts';

/** Returns the arithmetic over GR(2^ring, 4). */
export function nativeArithmetic(ring: Ring): Arithmetic<ShareVector> {
  const elementBytes = ring / 2;
  const decode = (bytes: Uint8Array): ShareVector => ShareVector.fromBytes(ring, bytes);
  return {
    elementBytes,
    zero: (length) => decode(new Uint8Array(length * elementBytes)),
    random: (length) => ShareVector.random(ring, length),
    decode,
    encode: (vector) => vector.encode(),
    add: (a, b) => a.add(b),
    slice: (vector, from, to) => vector.slice(from, to),
    concat: (parts) => ShareVector.concat(parts),
    equals: (a, b) => a.equals(b),
    shareBivariate: bivariateShare,
    evaluate,
    extract: (vectors, _, t) => extract(vectors, t),
    open: openRobust,
  };
}
