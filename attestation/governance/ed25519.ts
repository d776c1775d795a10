/**
 * Ed25519 keys and signatures of governance and release keys, as 32 and 64 raw bytes.
 *
 * A governance key is no key of a node: it lies with a person, in a PEM file or elsewhere. Private keys come in as
 * `KeyObject`s, so their bytes never pass through here. Spec: RFC 8032; keys as RFC 8410 has them.
 */
import { createPublicKey, sign as cryptoSign, verify as cryptoVerify, type KeyObject } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { concatBytes, fromHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';

/** Size of a raw public key. */
export const PUBLIC_KEY_BYTES = 32;
/** Size of a signature. */
export const SIGNATURE_BYTES = 64;

/** A signature and the key that it is said to be of. */
export interface KeySignature {
  readonly key: Uint8Array;
  readonly signature: Uint8Array;
}

/** Everything of a SubjectPublicKeyInfo in front of the 32 bytes of the key (RFC 8410). */
const SPKI_PREFIX = fromHex('302a300506032b6570032100');

/**
 * Returns the raw public key of a private or public key.
 *
 * @throws {@link KmsError} `KEY_INVALID` if it is no Ed25519 key.
 */
export function rawPublicKey(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType !== 'ed25519') throw new KmsError('KEY_INVALID', 'needs an Ed25519 key');
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return Uint8Array.from(spki.subarray(SPKI_PREFIX.byteLength));
}

/** Signs a message (here: always a digest with a label of its own) with an Ed25519 key. */
export function signWith(privateKey: KeyObject, message: Uint8Array): KeySignature {
  return { key: rawPublicKey(privateKey), signature: Uint8Array.from(cryptoSign(null, message, privateKey)) };
}

/** Returns whether a signature is one of `key` over `message`. Never throws: a key that is none has signed nothing. */
export function isSignatureOf(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (key.byteLength !== PUBLIC_KEY_BYTES || signature.byteLength !== SIGNATURE_BYTES) return false;
  try {
    const publicKey = createPublicKey({
      key: Buffer.from(concatBytes(SPKI_PREFIX, key)),
      format: 'der',
      type: 'spki',
    });
    return cryptoVerify(null, message, publicKey, signature);
  } catch {
    return false; // bytes that are no point of the curve
  }
}

/** Returns whether the bytes are a point of large order: with one of small order anybody could have signed. */
export function isUsableKey(key: Uint8Array): boolean {
  if (key.byteLength !== PUBLIC_KEY_BYTES) return false;
  try {
    const point = ed25519.Point.fromBytes(key);
    return !point.isSmallOrder();
  } catch {
    return false;
  }
}
