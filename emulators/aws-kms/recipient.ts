/**
 * `Recipient`: the attestation document of a request, verified against the emulator's root, and what conditions of
 * policies see of it.
 *
 * AWS publishes no texts for refused documents; the exception is its `ValidationException`, the words are ours.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { TrustAnchor } from '../../attestation/document/index.ts';
import { verifyLiveDocument } from '../../attestation/document/index.ts';
import { toHex } from '../../common/bytes.ts';
import { isKmsError } from '../../common/errors.ts';
import { AwsError } from './aws-error.ts';
import { type Fields, isObject, needBlob, readWord } from './fields.ts';

/** An attested recipient. */
export interface Recipient {
  readonly publicKey: KeyObject;
  /** Values by condition key, in lower case. */
  readonly conditions: ReadonlyMap<string, readonly string[]>;
}

/** Oldest document that is taken. */
const MAX_AGE_MS = 300_000;
const MAX_DOCUMENT_BYTES = 262_144;
const RSA_BITS = [2048, 3072, 4096];

const refused = (why: string): AwsError =>
  new AwsError('ValidationException', `The attestation document in Recipient is not valid: ${why}`);

/**
 * Reads and verifies `Recipient`; undefined if the request has none.
 *
 * @throws AwsError `ValidationException`.
 */
export async function readRecipient(
  fields: Fields,
  o: { readonly anchor: TrustAnchor; readonly nowMs: number },
): Promise<Recipient | undefined> {
  const value = fields.Recipient;
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw new AwsError('SerializationException', 'The request is not as its schema says.');
  const algorithm = readWord(value, 'KeyEncryptionAlgorithm', ['RSAES_OAEP_SHA_256']);
  if (algorithm === undefined) throw new AwsError('ValidationException', 'Recipient needs a KeyEncryptionAlgorithm.');
  const bytes = needBlob(value, 'AttestationDocument', MAX_DOCUMENT_BYTES);
  const document = await verifyLiveDocument(bytes, { ...o, maxAgeMs: MAX_AGE_MS }).catch((error: unknown) => {
    if (isKmsError(error)) throw refused(error.message);
    throw error;
  });
  if (document.publicKey === undefined || document.publicKey.length === 0) throw refused('it carries no public key');
  const isEnclave = document.platform === 'enclave';
  const prefix = isEnclave ? 'pcr' : 'nitrotpmpcr';
  const conditions = new Map(
    [...document.pcrs].map(([index, pcr]) => [`kms:recipientattestation:${prefix}${index}`, [toHex(pcr)]]),
  );
  const image = document.pcrs.get(0);
  if (isEnclave && image !== undefined) conditions.set('kms:recipientattestation:imagesha384', [toHex(image)]);
  return { publicKey: readKey(document.publicKey), conditions };
}

function readKey(spki: Uint8Array): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    throw refused('its public key is not a SubjectPublicKeyInfo in DER');
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (key.asymmetricKeyType !== 'rsa' || bits === undefined || !RSA_BITS.includes(bits)) {
    throw refused('its public key is not RSA of 2048, 3072 or 4096 bits');
  }
  return key;
}
