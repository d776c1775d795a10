/**
 * Signcryption of one plaintext of a user decryption, seen from the user: sign-then-encrypt, ML-KEM-512 and
 * AES-256-GCM. SECRET: the seed of the user's key and what {@link unsigncrypt} returns.
 *
 * The node's side is in native code; the layout of both is the one below.
 *   sct   = nonce(12) ‖ u64 768 ‖ KEM ciphertext ‖ u64 n ‖ AES-GCM(inner) with its tag
 *   inner = msg ‖ signature(64) ‖ D_vk(32)
 *   msg   = u64 n ‖ plaintext ‖ i32 type ‖ u64 32 ‖ link
 */
import {
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  decapsulate,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { concatBytes, equalBytes } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { BincodeReader, BincodeWriter } from './bincode.ts';
import { EK_BYTES, encodeEncKey, parseEncKey } from './enc-key.ts';
import { domainHash, HASH_TAG, u64le } from './hash.ts';
import { COMPRESSED_KEY_BYTES, hasPlaintextWidth, type TypedPlaintextData } from './payloads.ts';
import { INTERNAL_SIGNATURE_BYTES, verifyInternalSignature } from './signatures.ts';

/** A user's ML-KEM-512 key pair. */
export interface UserKeyPair {
  /** As requests carry it, 869 bytes. */
  readonly encKey: Uint8Array;
  /** SECRET: 64-byte seed (d ‖ z) of FIPS 203, in an ArrayBuffer of its own. */
  readonly seed: Uint8Array;
}

/** Who signed and for whom: what a signcrypted plaintext is bound to. */
export interface SigncryptionBinding {
  /** The request's `enc_key`. */
  readonly encKey: Uint8Array;
  /** 20 bytes. */
  readonly clientAddress: Uint8Array;
  /** As `userDecryptionLink` computes it for the own request. */
  readonly link: Uint8Array;
  /** The node's key, compressed. */
  readonly verificationKey: Uint8Array;
}

/** Length of a KEM ciphertext. */
export const KEM_CIPHERTEXT_BYTES = 768;
const SEED_BYTES = 64;
const EXPANDED_KEY_BYTES = 1632;
const NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;
const KEY_DIGEST_BYTES = 32;
const LINK_BYTES = 32;
const KEM = 'ml-kem-512';

/** Generates a key pair for one user. The caller wipes the seed. */
export function generateUserKeyPair(): UserKeyPair {
  const { publicKey, privateKey } = generateKeyPairSync(KEM);
  const exported = privateKey.export({ format: 'raw-seed' });
  const seed = Uint8Array.from(exported);
  exported.fill(0);
  return { encKey: encodeEncKey(publicKey.export({ format: 'raw-public' })), seed };
}

/**
 * Returns the `enc_key` that belongs to a seed.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` unless the seed has 64 bytes.
 */
export function encKeyOfSeed(seed: Uint8Array): Uint8Array {
  return encodeEncKey(createPublicKey(privateKeyOf(seed)).export({ format: 'raw-public' }));
}

/**
 * Returns the key in the form of published clients: length and 1,632 expanded bytes of FIPS 203. SECRET, in an
 * ArrayBuffer of its own.
 */
export function expandedPrivateKey(seed: Uint8Array): Uint8Array {
  // The expanded key is the tail of the PKCS #8 form.
  const pkcs8 = privateKeyOf(seed).export({ format: 'der', type: 'pkcs8' });
  const encoded = new BincodeWriter(8 + EXPANDED_KEY_BYTES).vec(pkcs8.subarray(-EXPANDED_KEY_BYTES)).finish();
  pkcs8.fill(0);
  return encoded;
}

/** Returns the digest of the user's key that the node signs. */
export function encKeyDigest(ek: Uint8Array): Uint8Array {
  return domainHash(HASH_TAG.signcryption, u64le(EK_BYTES), ek);
}

/** Returns the digest of the node's key that ends a signcrypted plaintext. */
export function verificationKeyDigest(compressed: Uint8Array): Uint8Array {
  return domainHash(HASH_TAG.signcryption, u64le(COMPRESSED_KEY_BYTES), compressed);
}

/** Encodes plaintext, type and link: what is signed and encrypted. */
export function encodeSigncryptionMessage(plaintext: TypedPlaintextData, link: Uint8Array): Uint8Array {
  return new BincodeWriter(8 + plaintext.bytes.byteLength + 4 + 8 + link.byteLength)
    .vec(plaintext.bytes)
    .i32(plaintext.fheType)
    .vec(link)
    .finish();
}

/** Returns what is signed behind the tag USER_DEC: message, user's address, digest of the user's key. */
export function signcryptionSignedBody(message: Uint8Array, clientAddress: Uint8Array, ek: Uint8Array): Uint8Array {
  return concatBytes(message, clientAddress, encKeyDigest(ek));
}

/**
 * Opens one signcrypted plaintext with the user's seed and checks that the node signed it for this user, key and
 * request.
 *
 * @returns The plaintext, exactly as wide as its type.
 * @throws {@link KmsError} `CIPHERTEXT_INVALID` saying which check failed.
 */
export function unsigncrypt(
  signcrypted: Uint8Array,
  seed: Uint8Array,
  binding: SigncryptionBinding,
): TypedPlaintextData {
  const ek = parseEncKey(binding.encKey);
  const inner = open(signcrypted, seed);
  const messageBytes = inner.byteLength - INTERNAL_SIGNATURE_BYTES - KEY_DIGEST_BYTES;
  if (messageBytes < 0) throw invalid('the signed part is cut');
  const message = inner.subarray(0, messageBytes);
  const signature = inner.subarray(messageBytes, messageBytes + INTERNAL_SIGNATURE_BYTES);
  if (!equalBytes(inner.subarray(-KEY_DIGEST_BYTES), verificationKeyDigest(binding.verificationKey))) {
    throw invalid('it names another node key');
  }
  const signed = signcryptionSignedBody(message, binding.clientAddress, ek);
  if (!verifyInternalSignature(HASH_TAG.userDecryption, signed, signature, binding.verificationKey)) {
    throw invalid('its signature does not verify');
  }

  const reader = new BincodeReader(message);
  const plaintext = { bytes: Uint8Array.from(reader.vec()), fheType: reader.i32() };
  const link = reader.vec();
  reader.end();
  if (link.byteLength !== LINK_BYTES || !equalBytes(link, binding.link))
    throw invalid('it is bound to another request');
  if (!hasPlaintextWidth(plaintext)) throw invalid('its plaintext is not as wide as its type');
  return plaintext;
}

function open(signcrypted: Uint8Array, seed: Uint8Array): Uint8Array {
  const reader = new BincodeReader(signcrypted);
  const nonce = reader.raw(NONCE_BYTES);
  const kemCiphertext = reader.vec();
  const sealed = reader.vec();
  reader.end();
  if (kemCiphertext.byteLength !== KEM_CIPHERTEXT_BYTES) throw invalid('its KEM ciphertext has a wrong length');
  if (sealed.byteLength < GCM_TAG_BYTES) throw invalid('its sealed part is cut');
  const key = decapsulate(privateKeyOf(seed), kemCiphertext);
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: GCM_TAG_BYTES });
    decipher.setAuthTag(sealed.subarray(-GCM_TAG_BYTES));
    const inner = decipher.update(sealed.subarray(0, -GCM_TAG_BYTES));
    decipher.final();
    return inner;
  } catch (cause) {
    throw invalid('it was not sealed for this key, or was changed', cause);
  } finally {
    key.fill(0);
  }
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  if (seed.byteLength !== SEED_BYTES) throw new KmsError('REQUEST_INVALID', 'a user key seed has 64 bytes');
  return createPrivateKey({
    key: Buffer.from(seed.buffer, seed.byteOffset, SEED_BYTES),
    format: 'raw-seed',
    asymmetricKeyType: KEM,
  });
}

function invalid(reason: string, cause?: unknown): KmsError {
  return new KmsError('CIPHERTEXT_INVALID', `a signcrypted plaintext cannot be opened: ${reason}`, {}, cause);
}
