/**
 * Verification of the node's secp256k1 signatures in plain JavaScript, for clients and tests. Nothing here is
 * secret. The hot path of the services verifies nothing; it signs, in native code.
 */
import { createHash } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { KmsError } from '../common/errors.ts';
import { addressOfPublicKey } from './addresses.ts';
import { COMPRESSED_KEY_BYTES } from './payloads.ts';
import { type SignedTag, signedPreimage } from './signed-payloads.ts';

/** r ‖ s. */
export const INTERNAL_SIGNATURE_BYTES = 64;
/** r ‖ s ‖ v. */
export const EXTERNAL_SIGNATURE_BYTES = 65;

/** v is 27 for an even y of the ephemeral point, 28 for an odd one. */
const FIRST_V = 27;

/**
 * Returns the address whose key signed an EIP-712 digest.
 *
 * @param signature - r ‖ s ‖ v with v 27 or 28 and low s.
 * @throws {@link KmsError} `REQUEST_INVALID` for any other form, v 0 and 1 too.
 */
export function recoverSigner(digest: Uint8Array, signature: Uint8Array): Uint8Array {
  const parity = (signature[INTERNAL_SIGNATURE_BYTES] ?? 0) - FIRST_V;
  if (signature.byteLength !== EXTERNAL_SIGNATURE_BYTES || (parity !== 0 && parity !== 1)) {
    throw invalid('an external signature has 65 bytes, the last one 27 or 28');
  }
  try {
    const parsed = secp256k1.Signature.fromBytes(signature.subarray(0, INTERNAL_SIGNATURE_BYTES), 'compact');
    if (parsed.hasHighS()) throw invalid('an external signature must have a low s');
    return addressOfPublicKey(parsed.addRecoveryBit(parity).recoverPublicKey(digest).toBytes(false));
  } catch (cause) {
    throw cause instanceof KmsError ? cause : invalid('an external signature recovers to no key');
  }
}

/**
 * Returns whether r ‖ s is the key's signature over SHA-256(tag ‖ body). High s is refused.
 *
 * @param publicKey - Compressed point.
 */
export function verifyInternalSignature(
  tag: SignedTag,
  body: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (signature.byteLength !== INTERNAL_SIGNATURE_BYTES || publicKey.byteLength !== COMPRESSED_KEY_BYTES) return false;
  const preimage = signedPreimage(tag, body);
  const digest = createHash('sha256').update(preimage).digest();
  preimage.fill(0); // a custodian's share is signed too
  try {
    return secp256k1.verify(signature, digest, publicKey, { prehash: false, lowS: true });
  } catch {
    return false; // noble throws for bytes that are no point or no scalar
  }
}

/**
 * Returns the compressed key that made r ‖ s over a digest, or undefined if there is none.
 *
 * @param parity - Of the ephemeral point's y, which internal signatures do not carry: try both.
 */
export function recoverCompressedKey(digest: Uint8Array, signature: Uint8Array, parity: 0 | 1): Uint8Array | undefined {
  if (signature.byteLength !== INTERNAL_SIGNATURE_BYTES) return undefined;
  try {
    const parsed = secp256k1.Signature.fromBytes(signature, 'compact');
    return parsed.addRecoveryBit(parity).recoverPublicKey(digest).toBytes(true);
  } catch {
    return undefined; // noble throws for numbers that are no scalars, and where there is no point
  }
}

/**
 * Returns the address of a compressed key.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if the bytes are no point.
 */
export function addressOfCompressedKey(compressed: Uint8Array): Uint8Array {
  if (compressed.byteLength !== COMPRESSED_KEY_BYTES) throw invalid('a verification key has 33 bytes');
  try {
    return addressOfPublicKey(secp256k1.Point.fromBytes(compressed).toBytes(false));
  } catch (cause) {
    throw new KmsError('REQUEST_INVALID', 'a verification key is not a point of the curve', {}, cause);
  }
}

function invalid(message: string): KmsError {
  return new KmsError('REQUEST_INVALID', message);
}
