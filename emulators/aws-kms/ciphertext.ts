/**
 * What a key encrypts: the opaque `CiphertextBlob` of symmetric keys, and RSA-OAEP of asymmetric ones.
 *
 * Blob: version 0x01, length of the key's id, the id, 12 bytes of nonce, AES-256-GCM with the encryption context as
 * associated data, 16 bytes of tag. AWS says nothing of its own form; only emulators of this project read this one.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto';
import { concatBytes } from '../../common/bytes.ts';
import type { RandomSource } from '../../common/random.ts';
import { AwsError } from './aws-error.ts';
import type { EncryptionContext } from './fields.ts';
import type { Key } from './keys.ts';

/** Algorithms of asymmetric keys. */
export const RSA_ALGORITHMS = ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'] as const;

/** All encryption algorithms. */
export const ENCRYPTION_ALGORITHMS = ['SYMMETRIC_DEFAULT', ...RSA_ALGORITHMS] as const;

/** A word out of {@link ENCRYPTION_ALGORITHMS}. */
export type EncryptionAlgorithm = (typeof ENCRYPTION_ALGORITHMS)[number];

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AWS gives no reason: neither for damage nor for another context. */
const invalidCiphertext = (): AwsError => new AwsError('InvalidCiphertextException', '');

/** Encrypts under a symmetric key. */
export function encryptBlob(
  key: Key,
  plaintext: Uint8Array,
  context: EncryptionContext,
  random: RandomSource,
): Uint8Array {
  const id = Buffer.from(key.id, 'latin1');
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', materialOf(key), nonce);
  cipher.setAAD(associatedData(key, context));
  const content = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return concatBytes(Uint8Array.of(VERSION, id.length), id, nonce, content, cipher.getAuthTag());
}

/** Returns the id of the key that a blob names; undefined if it is no blob of this emulator. */
export function keyIdOfBlob(blob: Uint8Array): string | undefined {
  const length = blob[1] ?? 0;
  const isWhole = blob[0] === VERSION && blob.length >= 2 + length + NONCE_BYTES + TAG_BYTES;
  return isWhole ? Buffer.from(blob.subarray(2, 2 + length)).toString('latin1') : undefined;
}

/** Decrypts a blob. @throws AwsError `InvalidCiphertextException` without a reason. */
export function decryptBlob(key: Key, blob: Uint8Array, context: EncryptionContext): Uint8Array {
  const body = blob.subarray(2 + (blob[1] ?? 0));
  try {
    const decipher = createDecipheriv('aes-256-gcm', materialOf(key), body.subarray(0, NONCE_BYTES));
    decipher.setAAD(associatedData(key, context));
    decipher.setAuthTag(body.subarray(body.length - TAG_BYTES));
    const content = body.subarray(NONCE_BYTES, body.length - TAG_BYTES);
    return Buffer.concat([decipher.update(content), decipher.final()]);
  } catch {
    throw invalidCiphertext();
  }
}

/** Encrypts under an RSA key. @throws AwsError `ValidationException` if the plaintext is too long. */
export function encryptRsa(key: Key, plaintext: Uint8Array, algorithm: EncryptionAlgorithm): Uint8Array {
  const limit = modulusBytes(key) - 2 - 2 * (algorithm === 'RSAES_OAEP_SHA_256' ? 32 : 20);
  if (plaintext.length > limit) {
    throw new AwsError(
      'ValidationException',
      `Algorithm ${algorithm} and key spec ${key.spec} cannot encrypt data larger than ${limit} bytes.`,
    );
  }
  return publicEncrypt({ key: createPublicKey(privateOf(key)), ...padding(algorithm) }, plaintext);
}

/** Decrypts with an RSA key. @throws AwsError `InvalidCiphertextException` without a reason. */
export function decryptRsa(key: Key, ciphertext: Uint8Array, algorithm: EncryptionAlgorithm): Uint8Array {
  try {
    return privateDecrypt({ key: privateOf(key), ...padding(algorithm) }, ciphertext);
  } catch {
    throw invalidCiphertext();
  }
}

/** Returns the public half of an RSA key, DER. */
export function publicKeyOf(key: Key): Uint8Array {
  return createPublicKey(privateOf(key)).export({ type: 'spki', format: 'der' });
}

function padding(algorithm: EncryptionAlgorithm): { readonly padding: number; readonly oaepHash: string } {
  const oaepHash = algorithm === 'RSAES_OAEP_SHA_256' ? 'sha256' : 'sha1';
  return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
}

function modulusBytes(key: Key): number {
  return (privateOf(key).asymmetricKeyDetails?.modulusLength ?? 0) / 8;
}

function materialOf(key: Key): Uint8Array {
  if (key.symmetric === undefined) throw invalidCiphertext();
  return key.symmetric;
}

function privateOf(key: Key): NonNullable<Key['rsa']> {
  if (key.rsa === undefined) throw invalidCiphertext();
  return key.rsa;
}

/** Sorted pairs with their lengths: no two contexts give the same bytes. */
function associatedData(key: Key, context: EncryptionContext): Uint8Array {
  return Buffer.from(JSON.stringify([key.arn, [...context]]), 'utf8');
}
