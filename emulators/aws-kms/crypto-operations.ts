/**
 * Operations with keys: Encrypt, Decrypt, GenerateDataKey, GenerateRandom; the last three answer an attested recipient alone
 * when the request names one. Emulated secrets pass here.
 */
import { AwsError } from './aws-error.ts';
import {
  decryptBlob,
  decryptRsa,
  ENCRYPTION_ALGORITHMS,
  type EncryptionAlgorithm,
  encryptBlob,
  encryptRsa,
  keyIdOfBlob,
} from './ciphertext.ts';
import { authorizeAccount, authorizeKey, type Call, needUsable, type Operation } from './emulator.ts';
import { type Fields, needBlob, needText, readContext, readNumber, readText, readWord } from './fields.ts';
import type { Key } from './keys.ts';
import { type Recipient, readRecipient } from './recipient.ts';
import { sealForRecipient } from './seal-for-recipient.ts';

const MAX_PLAINTEXT = 4096;
const MAX_CIPHERTEXT = 6144;
const MAX_RANDOM = 1024;
const SYMMETRIC = 'SYMMETRIC_DEFAULT';

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const recipientOf = ({ emulator, fields }: Call): Promise<Recipient | undefined> =>
  readRecipient(fields, { anchor: emulator.anchor, nowMs: emulator.clock.nowMs() });

/** A plaintext in the clear, or for the recipient alone. */
function answer({ emulator }: Call, plaintext: Uint8Array, recipient: Recipient | undefined): Fields {
  if (recipient === undefined) return { Plaintext: base64(plaintext) };
  const form = emulator.nextForm();
  const sealed = sealForRecipient(recipient.publicKey, plaintext, { form, random: emulator.random });
  return { CiphertextForRecipient: base64(sealed) };
}

function checkAlgorithm(key: Key, algorithm: EncryptionAlgorithm): void {
  if ((key.spec === SYMMETRIC) === (algorithm === SYMMETRIC)) return;
  throw new AwsError('InvalidKeyUsageException', `${key.arn} does not support the encryption algorithm ${algorithm}.`);
}

const encrypt: Operation = (call) => {
  const { emulator, fields } = call;
  const key = emulator.keys.find(needText(fields, 'KeyId'));
  const plaintext = needBlob(fields, 'Plaintext', MAX_PLAINTEXT);
  const algorithm = readWord(fields, 'EncryptionAlgorithm', ENCRYPTION_ALGORITHMS) ?? SYMMETRIC;
  const encryption = readContext(fields);
  authorizeKey(call, key, { encryption, more: new Map([['kms:encryptionalgorithm', [algorithm]]]) });
  needUsable(key);
  checkAlgorithm(key, algorithm);
  const blob =
    algorithm === SYMMETRIC
      ? encryptBlob(key, plaintext, encryption, emulator.random)
      : encryptRsa(key, plaintext, algorithm);
  return { CiphertextBlob: base64(blob), KeyId: key.arn, EncryptionAlgorithm: algorithm };
};

const decrypt: Operation = async (call) => {
  const { fields } = call;
  const blob = needBlob(fields, 'CiphertextBlob', MAX_CIPHERTEXT);
  const algorithm = readWord(fields, 'EncryptionAlgorithm', ENCRYPTION_ALGORITHMS) ?? SYMMETRIC;
  const encryption = readContext(fields);
  const recipient = await recipientOf(call);
  const key = keyToDecrypt(call, blob, algorithm);
  const more = new Map([...(recipient?.conditions ?? []), ['kms:encryptionalgorithm', [algorithm]]]);
  authorizeKey(call, key, { encryption, more });
  needUsable(key);
  checkAlgorithm(key, algorithm);
  const plaintext = algorithm === SYMMETRIC ? decryptBlob(key, blob, encryption) : decryptRsa(key, blob, algorithm);
  return { KeyId: key.arn, EncryptionAlgorithm: algorithm, ...answer(call, plaintext, recipient) };
};

function keyToDecrypt({ emulator, fields }: Call, blob: Uint8Array, algorithm: EncryptionAlgorithm): Key {
  const asked = readText(fields, 'KeyId');
  if (algorithm !== SYMMETRIC) {
    if (asked === undefined)
      throw new AwsError('ValidationException', 'A KeyId is required to decrypt with an asymmetric key.');
    return emulator.keys.find(asked);
  }
  const id = keyIdOfBlob(blob);
  if (id === undefined) throw new AwsError('InvalidCiphertextException', '');
  const named = emulator.keys.byId(id);
  if (asked === undefined) {
    if (named !== undefined) return named;
    throw new AwsError(
      'AccessDeniedException',
      'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    );
  }
  const key = emulator.keys.find(asked);
  if (named === key) return key;
  throw new AwsError(
    'IncorrectKeyException',
    'The key ID in the request does not identify a CMK that can perform this operation.',
  );
}

const generateDataKey: Operation = async (call) => {
  const { emulator, fields } = call;
  const key = emulator.keys.find(needText(fields, 'KeyId'));
  const spec = readWord(fields, 'KeySpec', ['AES_256', 'AES_128']);
  const count = readNumber(fields, 'NumberOfBytes', 1, MAX_RANDOM);
  if ((spec === undefined) === (count === undefined)) {
    throw new AwsError('ValidationException', 'Please specify either number of bytes or key spec.');
  }
  const encryption = readContext(fields);
  const recipient = await recipientOf(call);
  const more = new Map([...(recipient?.conditions ?? []), ['kms:encryptionalgorithm', [SYMMETRIC]]]);
  authorizeKey(call, key, { encryption, more });
  needUsable(key);
  if (key.spec !== SYMMETRIC) {
    throw new AwsError(
      'InvalidKeyUsageException',
      `${key.arn} key usage is ENCRYPT_DECRYPT which is not valid for GenerateDataKey.`,
    );
  }
  const plaintext = emulator.random(count ?? (spec === 'AES_128' ? 16 : 32));
  const blob = encryptBlob(key, plaintext, encryption, emulator.random);
  return { CiphertextBlob: base64(blob), KeyId: key.arn, ...answer(call, plaintext, recipient) };
};

const generateRandom: Operation = async (call) => {
  const count = readNumber(call.fields, 'NumberOfBytes', 1, MAX_RANDOM);
  if (count === undefined) throw new AwsError('ValidationException', 'Please specify NumberOfBytes.');
  const recipient = await recipientOf(call);
  authorizeAccount(call, recipient?.conditions ?? new Map());
  return answer(call, call.emulator.random(count), recipient);
};

/** By name. */
export const CRYPTO_OPERATIONS: Readonly<Record<string, Operation>> = {
  Encrypt: encrypt,
  Decrypt: decrypt,
  GenerateDataKey: generateDataKey,
  GenerateRandom: generateRandom,
};
