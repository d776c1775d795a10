/**
 * `AppKeyBlob`: how vaults of the published layout hold an object under a root key of AWS KMS. Read here, never written:
 * nothing in it is signed or bound to its name. Spec: kms-service.md section 7.2.
 */
import { KmsError } from '../common/errors.ts';
import { decodeSafe } from './safe-serialize.ts';

/** An object as it lies there. Nothing of it is authenticated before it opens. */
export interface AppKeyBlob {
  /** What the writing node's configuration called its root key: id, ARN or alias. */
  readonly rootKeyId: string;
  /** The data key under the root key. */
  readonly wrappedKey: Uint8Array;
  /** AES-256-GCM-SIV without associated data. */
  readonly ciphertext: Uint8Array;
  readonly iv: Uint8Array;
  readonly authTag: Uint8Array;
}

const VERSION = 0;
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Longest answer of AWS KMS, and longest name of a key. */
const MAX_WRAPPED_BYTES = 6144;
const MAX_NAME_LENGTH = 2048;

/** Decodes an `AppKeyBlob` to views into the input. @throws KmsError `REQUEST_INVALID`. */
export function decodeAppKeyBlob(bytes: Uint8Array): AppKeyBlob {
  return decodeSafe(bytes, 'AppKeyBlob', (reader) => {
    reader.expectU32(VERSION, 'AppKeyBlob version');
    const rootKeyId = reader.string();
    const wrappedKey = reader.vec();
    const ciphertext = reader.vec();
    const blob = { rootKeyId, wrappedKey, ciphertext, iv: reader.vec(), authTag: reader.vec() };
    const sizesFit =
      rootKeyId.length <= MAX_NAME_LENGTH &&
      wrappedKey.byteLength > 0 &&
      wrappedKey.byteLength <= MAX_WRAPPED_BYTES &&
      blob.iv.byteLength === IV_BYTES &&
      blob.authTag.byteLength === TAG_BYTES;
    if (sizesFit) return blob;
    throw new KmsError('REQUEST_INVALID', 'a field of the AppKeyBlob has a size that it cannot have');
  });
}
