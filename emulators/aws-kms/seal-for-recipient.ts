/**
 * Makes `CiphertextForRecipient`: the answer of AWS KMS, encrypted to the key of an attestation document. Emulated
 * secrets pass here.
 */
import { constants, createCipheriv, createHash, type KeyObject, publicEncrypt } from 'node:crypto';
import type { RandomSource } from '../../common/random.ts';
import { type EnvelopeForm, writeRecipientEnvelope } from '../../wire/cms/recipient-envelope.ts';

/** The two encodings that were seen of AWS KMS: lengths indefinite, the content in chunks or primitive. */
export const KMS_ENVELOPE_FORMS: readonly EnvelopeForm[] = [
  { lengths: 'indefinite', content: { chunkBytes: 1024 } },
  { lengths: 'indefinite', content: 'primitive' },
];

/**
 * Returns an envelope that the holder of the private key alone can open.
 *
 * @param recipient - An RSA public key.
 */
export function sealForRecipient(
  recipient: KeyObject,
  plaintext: Uint8Array,
  o: { readonly form: EnvelopeForm; readonly random: RandomSource },
): Uint8Array<ArrayBuffer> {
  const contentKey = o.random(32);
  const iv = o.random(16);
  const cipher = createCipheriv('aes-256-cbc', contentKey, iv);
  const content = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const encryptedKey = publicEncrypt(
    { key: recipient, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    contentKey,
  );
  const keyIdentifier = createHash('sha256')
    .update(recipient.export({ type: 'spki', format: 'der' }))
    .digest();
  return writeRecipientEnvelope({ keyIdentifier, encryptedKey, iv, content }, o.form);
}
