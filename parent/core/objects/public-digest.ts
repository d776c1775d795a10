/**
 * Digests of public objects as the engine signs them: SHAKE256(tag ‖ stored bytes), 32 bytes (spec 6.5).
 */
import { DomainHasher, HASH_TAG } from '../../../wire/hash.ts';

/** Starts the digest of one object; its tag follows from the type. */
export function startPublicDigest(type: string): DomainHasher {
  return new DomainHasher(type === 'CRS' ? HASH_TAG.crs : HASH_TAG.key);
}
