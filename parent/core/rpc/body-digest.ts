/**
 * What tells the body of a decryption from any other under its id. BLAKE3, since every body of 99 KB is hashed: it takes a
 * third of the time that SHA-256 takes.
 */
import { hash } from 'node:crypto';
import { toHex } from '../../../common/bytes.ts';
import { blake3 } from '../../../native/engine/public.ts';

/** Digests that an earlier version stored are of SHA-256 and have nothing in front. */
const PREFIX = 'b3:';

/** Returns the digest to remember. */
export function bodyDigest(body: Uint8Array): string {
  return PREFIX + toHex(blake3(body));
}

/** Whether a remembered digest is of this body, whose {@link bodyDigest} is `digest`. */
export function isDigestOf(remembered: string, digest: string, body: Uint8Array): boolean {
  return remembered === (remembered.startsWith(PREFIX) ? digest : hash('sha256', body, 'hex'));
}
