/**
 * Writes X.509 v3 certificates with ECDSA keys (RFC 5280): the developer's chains and the ephemeral leaves of
 * the mesh. The signature is made outside, so a key never comes here. Runs in a browser too.
 */
import { concatBytes } from '../../common/bytes.ts';
import { DER_TAG, encodeDer, encodeOid } from './der-encode.ts';
import { KEY_USAGE_BIT, type KeyUsage, OID } from './oids.ts';

/** How a certificate is signed. */
export type CertificateDigest = 'SHA-256' | 'SHA-384';

/** One extension; `value` is the DER inside the octet string. */
export interface CertificateExtension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** Everything that is signed in a certificate. */
export interface CertificateFields {
  /** 1 to 20 bytes, big-endian, taken as positive. */
  readonly serial: Uint8Array;
  /** DER of the issuer's name, as {@link encodeName} writes it or as it stands in the issuer's certificate. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since 1970; cut to whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly digest: CertificateDigest;
  readonly extensions: readonly CertificateExtension[];
  /** 3 unless a test wants a certificate of another version; 1 leaves the extensions out. */
  readonly version?: 1 | 3;
}

/** RFC 5280: dates from 2050 on have four digits of year. */
const FIRST_GENERALIZED_MS = Date.UTC(2050, 0, 1);
const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
const TRUE = encodeDer(DER_TAG.boolean, Uint8Array.of(0xff));

/** Returns the DER of a name: one attribute each, in the order given. */
export function encodeName(attributes: readonly (readonly [oid: string, text: string])[]): Uint8Array<ArrayBuffer> {
  const parts = attributes.map(([oid, text]) => {
    const tag = oid === OID.country ? DER_TAG.printableString : DER_TAG.utf8String;
    const attribute = sequence(encodeOid(oid), encodeDer(tag, new TextEncoder().encode(text)));
    return encodeDer(DER_TAG.set, attribute);
  });
  return sequence(...parts);
}

/** Returns the basicConstraints extension: of an end entity without `ca`; `pathLen` undefined leaves it unbounded. */
export function basicConstraints(ca: boolean, pathLen?: number): CertificateExtension {
  const parts = ca ? [TRUE] : [];
  if (pathLen !== undefined) parts.push(encodeDer(DER_TAG.integer, Uint8Array.of(pathLen)));
  return { oid: OID.basicConstraints, critical: true, value: sequence(...parts) };
}

/** Returns the keyUsage extension for the given uses. */
export function keyUsage(uses: readonly KeyUsage[]): CertificateExtension {
  let bits = 0;
  for (const use of uses) bits |= 0x80 >> KEY_USAGE_BIT[use];
  const unused = bits === 0 ? 0 : 31 - Math.clz32(bits & -bits);
  const content = bits === 0 ? Uint8Array.of(0) : Uint8Array.of(unused, bits);
  return { oid: OID.keyUsage, critical: true, value: encodeDer(DER_TAG.bitString, content) };
}

/** Returns the bytes that the issuer signs. */
export function encodeTbsCertificate(fields: CertificateFields): Uint8Array<ArrayBuffer> {
  const v3 = fields.version !== 1;
  const extensions = fields.extensions.map(({ oid, critical, value }) =>
    sequence(encodeOid(oid), ...(critical ? [TRUE] : []), encodeDer(DER_TAG.octetString, value)),
  );
  return sequence(
    ...(v3 ? [encodeDer(VERSION_TAG, encodeDer(DER_TAG.integer, Uint8Array.of(2)))] : []),
    positiveInteger(fields.serial),
    signatureAlgorithm(fields.digest),
    fields.issuer,
    sequence(encodeTime(fields.notBeforeMs), encodeTime(fields.notAfterMs)),
    fields.subject,
    fields.publicKey,
    ...(v3 && extensions.length > 0 ? [encodeDer(EXTENSIONS_TAG, sequence(...extensions))] : []),
  );
}

/** Returns the DER of a certificate out of its signed part and the DER signature over it. */
export function assembleCertificate(
  tbs: Uint8Array,
  digest: CertificateDigest,
  signature: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const bits = encodeDer(DER_TAG.bitString, concatBytes(Uint8Array.of(0), signature));
  return sequence(tbs, signatureAlgorithm(digest), bits);
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return encodeDer(DER_TAG.sequence, concatBytes(...parts));
}

function signatureAlgorithm(digest: CertificateDigest): Uint8Array {
  return sequence(encodeOid(digest === 'SHA-384' ? OID.ecdsaWithSha384 : OID.ecdsaWithSha256));
}

/** Shortest form, with a zero in front of a first bit that would make it negative. */
function positiveInteger(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = start < 0 ? Uint8Array.of(0) : bytes.subarray(start);
  const sign = (digits[0] ?? 0) < 0x80 ? [] : [Uint8Array.of(0)];
  return encodeDer(DER_TAG.integer, concatBytes(...sign, digits));
}

/** RFC 5280 §4.1.2.5: UTCTime up to 2049, GeneralizedTime after it. */
function encodeTime(atMs: number): Uint8Array {
  const digits = `${new Date(atMs).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
  const utc = atMs < FIRST_GENERALIZED_MS;
  const text = new TextEncoder().encode(utc ? digits.slice(2) : digits);
  return encodeDer(utc ? DER_TAG.utcTime : DER_TAG.generalizedTime, text);
}
