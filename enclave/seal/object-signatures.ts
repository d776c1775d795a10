/**
 * What the node signs of a sealed object, with its derived Ed25519 key of purpose `object`. Public.
 *
 * Two signatures: the head's comes first, so that nothing is asked of a keychain for what the node did not write; the
 * tail's covers every byte, so that not even who knows the data key can exchange content.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { encodeCanonical } from '../../attestation/cbor.ts';
import { concatBytes } from '../../common/bytes.ts';
import type { NodeKey } from '../../native/engine/index.ts';

/** Signs with the node's key of purpose `object`. */
export interface ObjectSigner {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Returns 64 bytes. */
  sign(digest: Uint8Array): Uint8Array;
}

/** Returns the signer of a node. The key's seed never leaves native memory. */
export function objectSigner(key: NodeKey): ObjectSigner {
  return { publicKey: key.purposePublicKey('object'), sign: (digest) => key.signPurpose('object', digest) };
}

/** Size of a signature. */
export const SIGNATURE_BYTES = 64;

const TAIL_LABEL = 'arca-object-1';
const ED25519_SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);

/** What the tail's signature is over. */
export interface SealedTail {
  readonly headDigest: Uint8Array;
  /** How many chunks there are. */
  readonly chunks: number;
  /** SHA-256 of everything between the head's signature and the tail's. */
  readonly bodyDigest: Uint8Array;
}

/** Returns the 48-byte digest that the tail's signature is over. */
export function tailDigest({ headDigest, chunks, bodyDigest }: SealedTail): Uint8Array {
  const facts = encodeCanonical([TAIL_LABEL, headDigest, chunks, bodyDigest]);
  return new Uint8Array(createHash('sha384').update(facts).digest());
}

/** Returns whether the key signed the digest; false for anything malformed. */
export function verifyObjectSignature(key: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  try {
    const spki = Buffer.from(concatBytes(ED25519_SPKI_PREFIX, key).buffer);
    return verify(null, digest, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature);
  } catch {
    return false; // not a point of the curve
  }
}
