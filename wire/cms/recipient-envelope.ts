/**
 * `CiphertextForRecipient` of AWS KMS: CMS EnvelopedData (RFC 5652) for one recipient, RSAES-OAEP with SHA-256 round an
 * AES-256 key, AES-256-CBC round the content. A pure codec: nothing is decrypted here, and nothing in it is secret.
 *
 * The envelope is not authenticated: who knows the recipient's public key can make one. That the answer is KMS's is for
 * the TLS connection to prove, which therefore ends inside the enclave.
 */
import { concatBytes, equalBytes, fromHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { BER_TAG, type BerItem, encodeDefinite, encodeIndefinite, readBer } from './ber.ts';

/** What an envelope holds. Byte strings that were read are copies. */
export interface RecipientEnvelope {
  /** Names the recipient's key; KMS writes 32 bytes of its own choice, so it is not compared with anything. */
  readonly keyIdentifier: Uint8Array;
  /** The content key under RSA. */
  readonly encryptedKey: Uint8Array;
  /** 16 bytes. */
  readonly iv: Uint8Array;
  /** Whole blocks of 16 bytes, at least one. */
  readonly content: Uint8Array;
}

/** The encodings in which envelopes occur. */
export interface EnvelopeForm {
  /** `indefinite`: as KMS writes it, the recipient alone definite. `definite`: DER throughout. */
  readonly lengths: 'indefinite' | 'definite';
  /** The content as one primitive string, or as chunks of at most so many bytes. */
  readonly content: 'primitive' | { readonly chunkBytes: number };
}

/** Longest envelope that is read: an answer holds at most a key pair or 6 KiB. */
export const MAX_ENVELOPE_BYTES = 16 * 1024;

/** Object identifiers, as their content bytes. */
const OID = {
  envelopedData: fromHex('2a864886f70d010703'),
  data: fromHex('2a864886f70d010701'),
  rsaesOaep: fromHex('2a864886f70d010107'),
  mgf1: fromHex('2a864886f70d010108'),
  sha256: fromHex('608648016503040201'),
  aes256Cbc: fromHex('60864801650304012a'),
} as const;

const VERSION_2 = Uint8Array.of(2);
const IV_BYTES = 16;
const BLOCK_BYTES = 16;
const MAX_KEY_IDENTIFIER_BYTES = 64;
const MAX_RSA_BYTES = 1024;

/**
 * Reads an envelope in any of its encodings: every length definite or indefinite, the content primitive or in chunks.
 *
 * Exactly one recipient, named by key identifier; versions 2 and 2; the algorithms above with SHA-256 in both places of
 * OAEP and no label; no attributes, no originator.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with one message for every fault.
 */
export function readRecipientEnvelope(bytes: Uint8Array): RecipientEnvelope {
  try {
    return readContentInfo(readBer(bytes, MAX_ENVELOPE_BYTES));
  } catch {
    // Which rule was broken stays here: those who can try many envelopes learn nothing from trying.
    throw new KmsError('REQUEST_INVALID', 'not an envelope in the form of AWS KMS');
  }
}

class Fault extends Error {}

function readContentInfo(root: BerItem): RecipientEnvelope {
  const [type, wrapped] = children(root, BER_TAG.sequence, 2);
  expectBytes(type, BER_TAG.objectIdentifier, OID.envelopedData);
  const [enveloped] = children(wrapped, BER_TAG.context0Constructed, 1);
  const [version, recipients, encrypted] = children(enveloped, BER_TAG.sequence, 3);
  expectBytes(version, BER_TAG.integer, VERSION_2);
  const [recipient] = children(recipients, BER_TAG.set, 1);
  return { ...readRecipient(recipient), ...readEncrypted(encrypted) };
}

function readRecipient(item: BerItem | undefined): Pick<RecipientEnvelope, 'keyIdentifier' | 'encryptedKey'> {
  const [version, identifier, algorithm, key] = children(item, BER_TAG.sequence, 4);
  expectBytes(version, BER_TAG.integer, VERSION_2);
  const keyIdentifier = primitive(identifier, BER_TAG.context0, 1, MAX_KEY_IDENTIFIER_BYTES);
  const [name, parameters] = children(algorithm, BER_TAG.sequence, 2);
  expectBytes(name, BER_TAG.objectIdentifier, OID.rsaesOaep);
  const [hash, mask] = children(parameters, BER_TAG.sequence, 2);
  const [hashAlgorithm] = children(hash, BER_TAG.context0Constructed, 1);
  expectSha256(hashAlgorithm);
  const [maskAlgorithm] = children(mask, BER_TAG.context1Constructed, 1);
  const [mgf1, maskHash] = children(maskAlgorithm, BER_TAG.sequence, 2);
  expectBytes(mgf1, BER_TAG.objectIdentifier, OID.mgf1);
  expectSha256(maskHash);
  return { keyIdentifier, encryptedKey: primitive(key, BER_TAG.octetString, BLOCK_BYTES, MAX_RSA_BYTES) };
}

function readEncrypted(item: BerItem | undefined): Pick<RecipientEnvelope, 'iv' | 'content'> {
  const [type, algorithm, content] = children(item, BER_TAG.sequence, 3);
  expectBytes(type, BER_TAG.objectIdentifier, OID.data);
  const [name, iv] = children(algorithm, BER_TAG.sequence, 2);
  expectBytes(name, BER_TAG.objectIdentifier, OID.aes256Cbc);
  const bytes = readContent(content);
  if (bytes.length === 0 || bytes.length % BLOCK_BYTES !== 0) throw new Fault();
  return { iv: primitive(iv, BER_TAG.octetString, IV_BYTES, IV_BYTES), content: bytes };
}

/** `[0] IMPLICIT OCTET STRING`: primitive, or constructed of primitive chunks. */
function readContent(item: BerItem | undefined): Uint8Array {
  if (item?.tag === BER_TAG.context0) return Uint8Array.from(item.content);
  if (item?.tag !== BER_TAG.context0Constructed) throw new Fault();
  return concatBytes(...item.items.map((chunk) => primitive(chunk, BER_TAG.octetString, 0, MAX_ENVELOPE_BYTES)));
}

function expectSha256(item: BerItem | undefined): void {
  if (item?.tag !== BER_TAG.sequence || item.items.length > 2) throw new Fault();
  const [name, parameters] = item.items;
  expectBytes(name, BER_TAG.objectIdentifier, OID.sha256);
  // RFC 4055 has readers take both: NULL, and nothing.
  if (parameters !== undefined) primitive(parameters, BER_TAG.null, 0, 0);
}

function children(item: BerItem | undefined, tag: number, count: number): readonly BerItem[] {
  if (item?.tag !== tag || item.items.length !== count) throw new Fault();
  return item.items;
}

function primitive(item: BerItem | undefined, tag: number, min: number, max: number): Uint8Array {
  if (item?.tag !== tag || item.content.length < min || item.content.length > max) throw new Fault();
  return Uint8Array.from(item.content);
}

function expectBytes(item: BerItem | undefined, tag: number, expected: Uint8Array): void {
  if (item?.tag !== tag || !equalBytes(item.content, expected)) throw new Fault();
}

/** Writes an envelope; {@link readRecipientEnvelope} reads it back from every form. */
export function writeRecipientEnvelope(envelope: RecipientEnvelope, form: EnvelopeForm): Uint8Array<ArrayBuffer> {
  const open = form.lengths === 'indefinite' ? encodeIndefinite : encodeDefinite;
  const sequence = (...parts: readonly Uint8Array[]) => encodeDefinite(BER_TAG.sequence, ...parts);
  const oid = (value: Uint8Array) => encodeDefinite(BER_TAG.objectIdentifier, value);
  const octets = (value: Uint8Array) => encodeDefinite(BER_TAG.octetString, value);
  const sha256 = sequence(oid(OID.sha256), encodeDefinite(BER_TAG.null));
  const oaep = sequence(
    encodeDefinite(BER_TAG.context0Constructed, sha256),
    encodeDefinite(BER_TAG.context1Constructed, sequence(oid(OID.mgf1), sha256)),
  );
  const version = encodeDefinite(BER_TAG.integer, VERSION_2);
  const recipient = sequence(
    version,
    encodeDefinite(BER_TAG.context0, envelope.keyIdentifier),
    sequence(oid(OID.rsaesOaep), oaep),
    octets(envelope.encryptedKey),
  );
  const content =
    form.content === 'primitive'
      ? encodeDefinite(BER_TAG.context0, envelope.content)
      : open(BER_TAG.context0Constructed, ...chunksOf(envelope.content, form.content.chunkBytes).map(octets));
  const encrypted = open(BER_TAG.sequence, oid(OID.data), sequence(oid(OID.aes256Cbc), octets(envelope.iv)), content);
  const enveloped = open(BER_TAG.sequence, version, encodeDefinite(BER_TAG.set, recipient), encrypted);
  return open(BER_TAG.sequence, oid(OID.envelopedData), open(BER_TAG.context0Constructed, enveloped));
}

function chunksOf(bytes: Uint8Array, chunkBytes: number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(bytes.subarray(at, at + chunkBytes));
  return chunks;
}
