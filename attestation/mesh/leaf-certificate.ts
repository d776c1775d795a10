/**
 * The leaf certificate's bytes: X.509 v3, P-256, self-signed, one private extension. Written and read here alone, so
 * reading is strict: what was read is written again and must be the same bytes. Nothing here is secret but the key
 * that {@link writeLeafCertificate} signs with.
 */
import { type KeyObject, sign, X509Certificate } from 'node:crypto';
import { concatBytes, equalBytes, fromHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { expectTag, readDer, readItems, readTime } from '../x509/der.ts';
import { DER_TAG, encodeDer, encodeOid } from '../x509/der-encode.ts';
import { assembleCertificate, encodeName } from '../x509/encode-certificate.ts';
import { OID } from '../x509/oids.ts';

/** OID 2.25.77397931421296543670693387142833388602, too large a part for `encodeOid`: a UUID, so nobody else's. */
const EXTENSION_OID = encodeDer(DER_TAG.objectIdentifier, fromHex('69f4baa6a8fcc4eab69398add09ee88c80f83a'));
const NAME = encodeName([[OID.commonName, 'arca mesh']]);
const ECDSA_WITH_SHA256 = encodeDer(DER_TAG.sequence, encodeOid(OID.ecdsaWithSha256));
const P256_SPKI_PREFIX = fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004');
const SPKI_BYTES = P256_SPKI_PREFIX.length + 64;
const SERIAL_BYTES = 16;
const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
const FIRST_GENERALIZED_MS = Date.UTC(2050);

/** What a leaf certificate says. */
export interface LeafFields {
  /** DER SubjectPublicKeyInfo of a P-256 key, uncompressed: 91 bytes. */
  readonly spki: Uint8Array;
  /** Whole seconds. */
  readonly notBeforeMs: number;
  /** Whole seconds. */
  readonly notAfterMs: number;
  /** Content of the private extension. */
  readonly payload: Uint8Array;
}

/** Returns the DER of a self-signed leaf certificate. Times are cut to whole seconds. */
export function writeLeafCertificate(fields: LeafFields, privateKey: KeyObject): Uint8Array {
  const body = tbs(fields);
  return assembleCertificate(body, 'SHA-256', sign('sha256', body, privateKey));
}

/**
 * Reads a leaf certificate without any cryptography.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` or `REQUEST_INVALID` for anything that {@link writeLeafCertificate}
 * would not write.
 */
export function readLeafCertificate(bytes: Uint8Array): LeafFields {
  const [body, algorithm, signature, ...more] = readItems(readDer(bytes, DER_TAG.sequence));
  const [version, serial, , , validity, , spki, extensions] = readItems(expectTag(body, DER_TAG.sequence));
  expectTag(version, VERSION_TAG);
  expectTag(serial, DER_TAG.integer);
  const [notBefore, notAfter] = readItems(expectTag(validity, DER_TAG.sequence));
  const key = expectTag(spki, DER_TAG.sequence).whole;
  if (key.length !== SPKI_BYTES || !equalBytes(key.subarray(0, P256_SPKI_PREFIX.length), P256_SPKI_PREFIX)) {
    throw malformed('needs an uncompressed P-256 key');
  }
  const [list] = readItems(expectTag(extensions, EXTENSIONS_TAG));
  const [extension] = readItems(expectTag(list, DER_TAG.sequence));
  const [oid, value] = readItems(expectTag(extension, DER_TAG.sequence));
  if (!equalBytes(expectTag(oid, DER_TAG.objectIdentifier).whole, EXTENSION_OID)) {
    throw malformed('carries no attestation document');
  }
  const payload = expectTag(value, DER_TAG.octetString).content;
  const fields = { spki: key, notBeforeMs: readTime(notBefore), notAfterMs: readTime(notAfter), payload };
  const isOurs =
    equalBytes(expectTag(body, DER_TAG.sequence).whole, tbs(fields)) &&
    equalBytes(expectTag(algorithm, DER_TAG.sequence).whole, ECDSA_WITH_SHA256) &&
    expectTag(signature, DER_TAG.bitString) &&
    more.length === 0;
  if (!isOurs) throw malformed('is not in its one form');
  return fields;
}

/**
 * Checks the self-signature of a certificate that {@link readLeafCertificate} has read, so its key is P-256.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` if it does not hold.
 */
export function verifyOwnSignature(bytes: Uint8Array): void {
  const certificate = parse(bytes);
  if (!certificate.verify(certificate.publicKey)) throw malformed('does not verify under its own key');
}

function parse(bytes: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw new KmsError('ATTESTATION_INVALID', 'the leaf certificate cannot be read', {}, error);
  }
}

function tbs({ spki, notBeforeMs, notAfterMs, payload }: LeafFields): Uint8Array {
  const extension = sequence(EXTENSION_OID, encodeDer(DER_TAG.octetString, payload));
  return sequence(
    encodeDer(VERSION_TAG, encodeDer(DER_TAG.integer, Uint8Array.of(2))),
    encodeDer(DER_TAG.integer, serialOf(spki)),
    ECDSA_WITH_SHA256,
    NAME,
    sequence(encodeTime(notBeforeMs), encodeTime(notAfterMs)),
    NAME,
    spki,
    encodeDer(EXTENSIONS_TAG, sequence(extension)),
  );
}

const sequence = (...parts: readonly Uint8Array[]): Uint8Array => encodeDer(DER_TAG.sequence, concatBytes(...parts));

/** Neither secret nor random: one key makes one certificate. Positive, of full length. */
function serialOf(spki: Uint8Array): Uint8Array {
  const serial = Uint8Array.from(spki.subarray(-SERIAL_BYTES));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** RFC 5280 §4.1.2.5: UTCTime up to 2049, GeneralizedTime after it. */
function encodeTime(ms: number): Uint8Array {
  const text = `${new Date(ms).toISOString().replace(/[-T:]/g, '').slice(0, 14)}Z`;
  return ms < FIRST_GENERALIZED_MS
    ? encodeDer(DER_TAG.utcTime, Buffer.from(text.slice(2)))
    : encodeDer(DER_TAG.generalizedTime, Buffer.from(text));
}

const malformed = (why: string): KmsError => new KmsError('ATTESTATION_INVALID', `the leaf certificate ${why}`);
