/**
 * Signcryption between operator and custodian: sign, then encrypt. Same construction as for users (kms-service 5.3),
 * with another tag for each direction, so that neither can be taken for the other.
 *   inner = message ‖ signature(64) ‖ D_vk(32), signature over SHA-256(tag ‖ message ‖ receiver(20) ‖ D_ek)
 * SECRET: messages, and the receiver's private key.
 */
import type { KeyObject } from 'node:crypto';
import { concatBytes, equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import type { HASH_TAG } from '../hash.ts';
import { INTERNAL_SIGNATURE_BYTES, verifyInternalSignature } from '../signatures.ts';
import { encKeyDigest, verificationKeyDigest } from '../signcryption.ts';
import { signedPreimage } from '../signed-payloads.ts';
import { type Encapsulate, hybridDecrypt, hybridEncrypt } from './hybrid.ts';
import { encapsulationKeyOf } from './kem-keys.ts';

/** Direction of a signcryption: operator to custodian, or custodian back to operator. */
export type SigncryptionTag = typeof HASH_TAG.backupToCustodian | typeof HASH_TAG.backupRecovery;

/** A secp256k1 key that signs SHA-256 of what it is given: r ‖ s, low s, deterministic. A `NodeKey` is one. */
export interface Signer {
  /** Compressed point, 33 bytes. */
  readonly publicKey: Uint8Array;
  signSha256(data: Uint8Array): Uint8Array;
}

/** For whom a message is signcrypted. */
export interface Receiver {
  /** Ethereum address, 20 bytes. */
  readonly address: Uint8Array;
  /** ML-KEM-512 encapsulation key, 800 bytes. */
  readonly ek: Uint8Array;
}

const KEY_DIGEST_BYTES = 32;

/** Returns what is signed behind the tag: message, receiver's address, digest of the receiver's key. */
export function signcryptedBody(message: Uint8Array, { address, ek }: Receiver): Uint8Array {
  return concatBytes(message, address, encKeyDigest(ek));
}

/** Signs a message and encrypts it for its receiver. */
export function signcryptFor(
  receiver: Receiver,
  tag: SigncryptionTag,
  message: Uint8Array,
  signer: Signer,
  random: RandomSource,
  kem?: Encapsulate,
): Uint8Array {
  const body = signcryptedBody(message, receiver);
  const preimage = signedPreimage(tag, body);
  const signature = signer.signSha256(preimage);
  const inner = concatBytes(message, signature, verificationKeyDigest(signer.publicKey));
  try {
    return hybridEncrypt(receiver.ek, inner, random, kem);
  } finally {
    for (const copy of [body, preimage, inner]) copy.fill(0);
  }
}

/**
 * Opens a signcryption and checks that `sender` made it for `receiver`.
 *
 * @returns The message, in an ArrayBuffer of its own, which the caller wipes.
 * @throws {@link KmsError} `CIPHERTEXT_INVALID` saying which check failed.
 */
export function unsigncryptFrom(
  sender: Uint8Array,
  tag: SigncryptionTag,
  signcryption: Uint8Array,
  receiver: { readonly address: Uint8Array; readonly privateKey: KeyObject },
): Uint8Array {
  const inner = hybridDecrypt(receiver.privateKey, signcryption);
  try {
    const messageBytes = inner.byteLength - INTERNAL_SIGNATURE_BYTES - KEY_DIGEST_BYTES;
    if (messageBytes < 0) throw invalid('its signed part is cut');
    const message = inner.subarray(0, messageBytes);
    const signature = inner.subarray(messageBytes, messageBytes + INTERNAL_SIGNATURE_BYTES);
    if (!equalBytes(inner.subarray(-KEY_DIGEST_BYTES), verificationKeyDigest(sender))) {
      throw invalid('it was signed by another key');
    }
    const body = signcryptedBody(message, { address: receiver.address, ek: encapsulationKeyOf(receiver.privateKey) });
    const genuine = verifyInternalSignature(tag, body, signature, sender);
    body.fill(0);
    if (!genuine) throw invalid('its signature does not verify for this receiver');
    return Uint8Array.from(message);
  } finally {
    inner.fill(0);
  }
}

function invalid(reason: string): KmsError {
  return new KmsError('CIPHERTEXT_INVALID', `a signcrypted share cannot be opened: ${reason}`);
}
