/**
 * The keychain `aws-kms`: data keys under a root key of AWS KMS that only this attested enclave can use. SECRET: data keys.
 *
 * Symmetric roots: KMS makes the data key and binds it to its object by the encryption context. Asymmetric roots (RSA-4096) know no
 * such context: there the digest of the same facts is wrapped with the key and compared after opening, which stops mix-ups;
 * that nobody else made the object is for its signature to show, since anybody can wrap.
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt, timingSafeEqual } from 'node:crypto';
import { DecryptCommand, GenerateDataKeyCommand, GetPublicKeyCommand } from '@aws-sdk/client-kms';
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import {
  bindingDigest,
  DATA_KEY_BYTES,
  type DataKeyBinding,
  type DataKeyring,
  encryptionContextOf,
  type WrappedDataKey,
} from './data-keys.ts';
import { KmsCaller, type KmsCallerOptions } from './kms-caller.ts';

/** The keychain's name. */
export const AWS_KMS = 'aws-kms';

const MAX_BLOB_BYTES = 6144;
const RSA_SPEC = 'RSA_4096';
const RSA_BLOB_BYTES = 512;
const RSA_ALGORITHM = 'RSAES_OAEP_SHA_256';

/** What of an answer is looked at. */
interface Answer {
  readonly KeyId?: string | undefined;
  readonly Plaintext?: Uint8Array | undefined;
  readonly CiphertextForRecipient?: Uint8Array | undefined;
}

/**
 * Returns a keyring over a symmetric root key.
 *
 * @throws KmsError `CONFIG_INVALID` for an ARN that is none.
 */
export function symmetricKeyring(options: KmsCallerOptions): DataKeyring {
  const caller = new KmsCaller(options);
  const { keyArn, client } = caller;
  return {
    name: AWS_KMS,
    trouble: () => caller.trouble,
    close: () => caller.close(),
    async generate(binding, signal) {
      const { plaintext, rest } = await caller.attested(
        'GenerateDataKey',
        async (Recipient, abortSignal) => {
          const asked = {
            KeyId: keyArn,
            KeySpec: 'AES_256',
            EncryptionContext: encryptionContextOf(binding),
            Recipient,
          } as const;
          const answer = await client.send(new GenerateDataKeyCommand(asked), { ...(abortSignal && { abortSignal }) });
          const blob = answer.CiphertextBlob;
          if (blob === undefined || blob.length === 0 || blob.length > MAX_BLOB_BYTES) {
            throw unexpected('GenerateDataKey', keyArn, 'without a wrapped key');
          }
          return { envelope: envelopeOf(answer, 'GenerateDataKey', keyArn), rest: Uint8Array.from(blob) };
        },
        signal,
      );
      return {
        dataKey: sized(plaintext, DATA_KEY_BYTES, 'GenerateDataKey', keyArn),
        wrapped: { keyId: keyArn, blob: rest },
      };
    },
    async unwrap(wrapped, binding, signal) {
      checkWrapped(wrapped, keyArn);
      const plaintext = await decrypt(caller, wrapped, { EncryptionContext: encryptionContextOf(binding) }, signal);
      return sized(plaintext, DATA_KEY_BYTES, 'Decrypt', keyArn);
    },
  };
}

/**
 * Returns a keyring over an RSA-4096 root key, whose public half is asked for once.
 *
 * @throws KmsError `CONFIG_INVALID` for an ARN that is none.
 */
export function asymmetricKeyring(options: KmsCallerOptions): DataKeyring {
  const caller = new KmsCaller(options);
  const { keyArn } = caller;
  const { random = systemRandom } = options;
  let known: KeyObject | undefined;
  return {
    name: AWS_KMS,
    trouble: () => caller.trouble,
    close: () => caller.close(),
    async generate(binding, signal) {
      known ??= await fetchPublicKey(caller, signal);
      const dataKey = random(DATA_KEY_BYTES);
      const bound = concatBytes(dataKey, bindingDigest(binding));
      try {
        const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
        const blob = new Uint8Array(publicEncrypt({ key: known, ...padding }, bound));
        return { dataKey, wrapped: { keyId: keyArn, blob } };
      } finally {
        bound.fill(0);
      }
    },
    async unwrap(wrapped, binding, signal) {
      checkWrapped(wrapped, keyArn);
      if (wrapped.blob.length !== RSA_BLOB_BYTES) throw notOfObject(keyArn);
      const plaintext = await decrypt(caller, wrapped, { EncryptionAlgorithm: RSA_ALGORITHM }, signal);
      try {
        return boundKey(plaintext, binding, keyArn);
      } finally {
        plaintext.fill(0);
      }
    },
  };
}

/** Opens data keys that another system wrapped. */
export interface ForeignKeys {
  /**
   * Returns the data key, which the caller wipes. What it was wrapped for, nothing says.
   *
   * @throws KmsError As `DataKeyring.unwrap`.
   */
  open(blob: Uint8Array, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}

/**
 * Returns what opens the data keys of a vault of the published layout, which are bound to nothing: for imports alone.
 *
 * @throws KmsError `CONFIG_INVALID` for an ARN that is none.
 */
export function foreignKeys(rootKeySpec: 'symm' | 'asymm', options: KmsCallerOptions): ForeignKeys {
  const caller = new KmsCaller(options);
  const { keyArn } = caller;
  const how = rootKeySpec === 'symm' ? {} : ({ EncryptionAlgorithm: RSA_ALGORITHM } as const);
  return {
    close: () => caller.close(),
    async open(blob, signal) {
      const plaintext = await decrypt(caller, { keyId: keyArn, blob }, how, signal);
      return sized(plaintext, DATA_KEY_BYTES, 'Decrypt', keyArn);
    },
  };
}

/** Returns the data key of `data key ‖ digest` if the digest is the binding's. */
function boundKey(plaintext: Uint8Array, binding: DataKeyBinding, keyArn: string): Uint8Array<ArrayBuffer> {
  const expected = bindingDigest(binding);
  const found = plaintext.subarray(DATA_KEY_BYTES);
  if (found.length !== expected.length || !timingSafeEqual(found, expected)) throw notOfObject(keyArn);
  return Uint8Array.from(plaintext.subarray(0, DATA_KEY_BYTES));
}

async function decrypt(
  caller: KmsCaller,
  { blob }: WrappedDataKey,
  how: {
    readonly EncryptionContext?: Readonly<Record<string, string>>;
    readonly EncryptionAlgorithm?: typeof RSA_ALGORITHM;
  },
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const { keyArn, client } = caller;
  const { plaintext } = await caller.attested(
    'Decrypt',
    async (Recipient, abortSignal) => {
      const asked = { KeyId: keyArn, CiphertextBlob: blob, Recipient, ...how };
      const answer = await client.send(new DecryptCommand(asked), { ...(abortSignal && { abortSignal }) });
      return { envelope: envelopeOf(answer, 'Decrypt', keyArn), rest: undefined };
    },
    signal,
  );
  return plaintext;
}

async function fetchPublicKey(caller: KmsCaller, signal: AbortSignal | undefined): Promise<KeyObject> {
  const { keyArn, client } = caller;
  const answer = await caller.call(
    'GetPublicKey',
    () => client.send(new GetPublicKeyCommand({ KeyId: keyArn }), { ...(signal && { abortSignal: signal }) }),
    signal,
  );
  const { KeyId, KeySpec, PublicKey, KeyUsage, EncryptionAlgorithms } = answer;
  if (KeyId !== keyArn) throw unexpected('GetPublicKey', keyArn, 'for another key');
  if (
    KeySpec !== RSA_SPEC ||
    KeyUsage !== 'ENCRYPT_DECRYPT' ||
    EncryptionAlgorithms?.includes(RSA_ALGORITHM) !== true
  ) {
    throw new KmsError('CONFIG_INVALID', `an asymmetric root key needs ${RSA_SPEC} for encryption`, { keyArn });
  }
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(PublicKey ?? []), format: 'der', type: 'spki' });
  } catch (cause) {
    throw unexpected('GetPublicKey', keyArn, 'with a key that cannot be read', cause);
  }
  if (key.asymmetricKeyType === 'rsa' && key.asymmetricKeyDetails?.modulusLength === RSA_BLOB_BYTES * 8) return key;
  throw unexpected('GetPublicKey', keyArn, 'with a key of another size');
}

/** Checks an answer for this enclave: of the key that was asked for, and with nothing in clear. */
function envelopeOf(answer: Answer, operation: string, keyArn: string): Uint8Array {
  const { KeyId, Plaintext, CiphertextForRecipient } = answer;
  if (Plaintext !== undefined && Plaintext.length > 0) {
    Plaintext.fill(0);
    throw unexpected(operation, keyArn, 'in clear: whoever carries the connection may have seen the key');
  }
  if (KeyId !== keyArn) throw unexpected(operation, keyArn, 'for another key');
  if (CiphertextForRecipient !== undefined) return CiphertextForRecipient;
  throw unexpected(operation, keyArn, 'without an envelope for this enclave');
}

function checkWrapped({ keyId, blob }: WrappedDataKey, keyArn: string): void {
  if (keyId !== keyArn) {
    throw new KmsError('STATE_INVALID', 'the wrapped key was made under another root key', { keyArn });
  }
  if (blob.length === 0 || blob.length > MAX_BLOB_BYTES) throw notOfObject(keyArn);
}

function sized(
  plaintext: Uint8Array<ArrayBuffer>,
  size: number,
  operation: string,
  keyArn: string,
): Uint8Array<ArrayBuffer> {
  if (plaintext.length === size) return plaintext;
  plaintext.fill(0);
  throw unexpected(operation, keyArn, 'with a key of another size');
}

function notOfObject(keyArn: string): KmsError {
  return new KmsError('STATE_INVALID', 'the wrapped key was not made for this object, or was changed', { keyArn });
}

function unexpected(operation: string, keyArn: string, how: string, cause?: unknown): KmsError {
  return new KmsError('STATE_INVALID', `${operation}: AWS KMS answered ${how}`, { operation, keyArn }, cause);
}
