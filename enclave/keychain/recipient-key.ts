/**
 * The RSA key to which AWS KMS encrypts one answer. SECRET: its private half, which stays inside OpenSSL, and what it opens.
 *
 * A key serves one call and is dropped. So an answer that was kept, or changed bit by bit to see what fails, is worth
 * nothing: no key opens a second envelope.
 */
import { constants, createDecipheriv, generateKeyPair, type KeyObject, privateDecrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { KmsError } from '../../common/errors.ts';
import { readRecipientEnvelope } from '../../wire/cms/recipient-envelope.ts';

/** A key for one answer. */
export interface RecipientKey {
  /** SubjectPublicKeyInfo, DER: what the attestation document carries as `public_key`. */
  readonly publicKey: Uint8Array;
  /**
   * Opens the one envelope that was made for this key and drops the key. The caller owns, and wipes, the result.
   *
   * @throws KmsError `STATE_INVALID` with one message, and no cause, whatever is wrong.
   */
  open(envelope: Uint8Array): Uint8Array<ArrayBuffer>;
}

const RSA_BITS = 2048;
const CONTENT_KEY_BYTES = 32;

const generate = promisify(generateKeyPair);

/** Makes a key on a thread of the pool: about a tenth of a second. */
export async function makeRecipientKey(): Promise<RecipientKey> {
  const { publicKey, privateKey } = await generate('rsa', { modulusLength: RSA_BITS, publicExponent: 0x10001 });
  return recipientKey(new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })), privateKey);
}

/** Returns the recipient of an RSA key that exists. */
export function recipientKey(publicKey: Uint8Array, privateKey: KeyObject): RecipientKey {
  let unused: KeyObject | undefined = privateKey;
  return {
    publicKey,
    open(envelope) {
      const key = unused;
      unused = undefined;
      try {
        if (key === undefined) throw new RangeError('a second envelope');
        return openEnvelope(envelope, key);
      } catch {
        throw new KmsError('STATE_INVALID', 'the answer of AWS KMS cannot be opened');
      }
    },
  };
}

function openEnvelope(bytes: Uint8Array, privateKey: KeyObject): Uint8Array<ArrayBuffer> {
  const { encryptedKey, iv, content } = readRecipientEnvelope(bytes);
  const oaep = { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  const contentKey = privateDecrypt(oaep, encryptedKey);
  try {
    if (contentKey.length !== CONTENT_KEY_BYTES) throw new RangeError('a content key of another size');
    const decipher = createDecipheriv('aes-256-cbc', contentKey, iv);
    const head = decipher.update(content);
    try {
      const tail = decipher.final();
      // Into memory of its own: Node's buffers may be slices of a pool that is shared.
      const plaintext = new Uint8Array(head.length + tail.length);
      plaintext.set(head);
      plaintext.set(tail, head.length);
      tail.fill(0);
      return plaintext;
    } finally {
      head.fill(0);
    }
  } finally {
    contentKey.fill(0);
  }
}

/** Hands out keys, and makes the next one while the last is in use. */
export interface RecipientKeys {
  take(): Promise<RecipientKey>;
}

/**
 * Returns a source that keeps one key ready from the first use on.
 *
 * @param make - Makes a key.
 */
export function recipientKeys(make: () => Promise<RecipientKey> = makeRecipientKey): RecipientKeys {
  let next: Promise<RecipientKey> | undefined;
  return {
    take() {
      const taken = next ?? make();
      const following = taken.then(make);
      // Whoever takes it sees its failure; until then it is nobody's.
      following.catch(() => {});
      next = following;
      return taken.catch((error: unknown) => {
        next = undefined;
        throw error;
      });
    },
  };
}
