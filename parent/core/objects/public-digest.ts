/**
 * Digests of public objects as the engine signs them: SHAKE256(tag ‖ stored bytes), 32 bytes (spec 6.5).
 */
import { createHash, type Hash } from 'node:crypto';

const DIGEST_BYTES = 32;

/** Starts the digest of one object; its tag follows from the type. */
export function startPublicDigest(type: string): Hash {
  const tag = type === 'CRS' ? 'PDAT_CRS' : 'PDAT_KEY';
  return createHash('shake256', { outputLength: DIGEST_BYTES }).update(tag, 'ascii');
}
