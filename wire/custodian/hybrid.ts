/**
 * Hybrid encryption of the published formats: ML-KEM-512, whose shared secret is the AES-256-GCM key, with a random
 * nonce and no associated data. Layout: nonce(12) ‖ u64 768 ‖ KEM ciphertext ‖ u64 n ‖ AES-GCM output with its tag.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  decapsulate,
  encapsulate,
  type KeyObject,
} from 'node:crypto';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { BincodeReader, BincodeWriter } from '../bincode.ts';
import { KEM_CIPHERTEXT_BYTES } from '../signcryption.ts';

/** Makes a shared secret for an 800-byte encapsulation key. SECRET: `sharedKey`. */
export type Encapsulate = (ek: Uint8Array) => { readonly sharedKey: Uint8Array; readonly ciphertext: Uint8Array };

const NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

/** Encapsulation by OpenSSL, with its own randomness. */
export const systemEncapsulate: Encapsulate = (ek) =>
  encapsulate(createPublicKey({ key: Buffer.from(ek), format: 'raw-public', asymmetricKeyType: 'ml-kem-512' }));

/** Encrypts for an encapsulation key. */
export function hybridEncrypt(
  ek: Uint8Array,
  plaintext: Uint8Array,
  random: RandomSource,
  kem: Encapsulate = systemEncapsulate,
): Uint8Array {
  const { sharedKey, ciphertext } = kem(ek);
  try {
    const nonce = random(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, sharedKey, nonce, { authTagLength: GCM_TAG_BYTES });
    const sealed = concatBytes(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
    return new BincodeWriter(NONCE_BYTES + 8 + ciphertext.byteLength + 8 + sealed.byteLength)
      .raw(nonce)
      .vec(ciphertext)
      .vec(sealed)
      .finish();
  } finally {
    sharedKey.fill(0);
  }
}

/**
 * Decrypts what {@link hybridEncrypt} made. SECRET: the result is in an ArrayBuffer of its own, which the caller wipes.
 *
 * @throws {@link KmsError} `CIPHERTEXT_INVALID` for anything else, or for another key.
 */
export function hybridDecrypt(privateKey: KeyObject, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const reader = new BincodeReader(bytes);
  const nonce = reader.raw(NONCE_BYTES);
  const kemCiphertext = reader.vec();
  const sealed = reader.vec();
  reader.end();
  if (kemCiphertext.byteLength !== KEM_CIPHERTEXT_BYTES) throw invalid('its KEM ciphertext has a wrong length');
  if (sealed.byteLength < GCM_TAG_BYTES) throw invalid('its sealed part is cut');
  const key = decapsulate(privateKey, kemCiphertext);
  try {
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: GCM_TAG_BYTES });
    decipher.setAuthTag(sealed.subarray(-GCM_TAG_BYTES));
    const opened = decipher.update(sealed.subarray(0, -GCM_TAG_BYTES));
    try {
      decipher.final();
      return Uint8Array.from(opened);
    } finally {
      opened.fill(0);
    }
  } catch {
    throw invalid('it was not made for this key, or was changed');
  } finally {
    key.fill(0);
  }
}

function invalid(reason: string): KmsError {
  return new KmsError('CIPHERTEXT_INVALID', `a hybrid ciphertext cannot be opened: ${reason}`);
}
