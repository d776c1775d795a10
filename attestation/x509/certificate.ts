/**
 * Reads an X.509 certificate: exactly what the rules of attestation need, from strict DER. Reading judges form
 * alone; which curve, which extensions and whose signature are right is for the caller. Runs in a browser too.
 * Spec: RFC 5280 §4.1.
 */
import { KmsError } from '../../common/errors.ts';
import {
  type DerItem,
  expectTag,
  readBoolean,
  readDer,
  readItems,
  readNamedBits,
  readOid,
  readTime,
  readUnsigned,
  readWholeBits,
} from './der.ts';
import { DER_TAG } from './der-encode.ts';
import { KEY_USAGE_BIT, type KeyUsage, OID } from './oids.ts';

/** An extension as it stands in a certificate. */
export interface ReadExtension {
  readonly critical: boolean;
  /** The DER inside the octet string. */
  readonly value: Uint8Array;
}

/** A certificate, read. Byte strings are views into what was read. */
export interface Certificate {
  readonly der: Uint8Array;
  /** The signed part. */
  readonly tbs: Uint8Array;
  /** 1, 2 or 3. */
  readonly version: number;
  /** Dotted; the same inside and outside the signed part. */
  readonly signatureOid: string;
  /** DER of ECDSA's two integers when the algorithm is ECDSA. */
  readonly signature: Uint8Array;
  /** DER of the names. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since 1970, both inclusive. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER of the SubjectPublicKeyInfo. */
  readonly publicKeyInfo: Uint8Array;
  /** Dotted; undefined for a key without a named curve. */
  readonly curveOid: string | undefined;
  /** The key's bits: for P-384 0x04 and two coordinates. */
  readonly publicKey: Uint8Array;
  /** By dotted identifier. */
  readonly extensions: ReadonlyMap<string, ReadExtension>;
  /** basicConstraints, undefined when absent; `pathLen` undefined when unbounded. */
  readonly constraints: { readonly ca: boolean; readonly pathLen: number | undefined } | undefined;
  /** keyUsage, undefined when absent. */
  readonly uses: ReadonlySet<KeyUsage> | undefined;
}

const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
/** RFC 5758 §3.2: the parameters of these must be absent. */
const BARE_ALGORITHMS: ReadonlySet<string> = new Set([OID.ecdsaWithSha256, OID.ecdsaWithSha384]);

const refuse = (why: string): KmsError => new KmsError('REQUEST_INVALID', `not a certificate: ${why}`);

/**
 * Reads one certificate.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything that is not strict DER of RFC 5280's form, for an
 *   extension that stands twice, and for algorithms that differ inside and outside the signed part.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  const bytes = new Uint8Array(der.buffer, der.byteOffset, der.length);
  const [tbsItem, algorithm, signature, ...rest] = readItems(readDer(bytes, DER_TAG.sequence));
  if (rest.length > 0) throw refuse('more than three parts');
  const tbs = expectTag(tbsItem, DER_TAG.sequence);
  const outer = expectTag(algorithm, DER_TAG.sequence);
  const parts = readItems(tbs);
  const version = readVersion(parts);
  const [serial, inner, issuer, validity, subject, keyInfo, ...tail] = parts;
  readUnsigned(serial);
  if (!sameBytes(expectTag(inner, DER_TAG.sequence).whole, outer.whole)) throw refuse('two signature algorithms');
  const [notBefore, notAfter, ...more] = readItems(expectTag(validity, DER_TAG.sequence));
  if (more.length > 0) throw refuse('a validity of more than two times');
  const extensions = readExtensions(tail, version);
  return {
    der: bytes,
    tbs: tbs.whole,
    version,
    signatureOid: readAlgorithm(outer).oid,
    signature: readWholeBits(signature),
    issuer: expectTag(issuer, DER_TAG.sequence).whole,
    subject: expectTag(subject, DER_TAG.sequence).whole,
    notBeforeMs: readTime(notBefore),
    notAfterMs: readTime(notAfter),
    ...readKeyInfo(expectTag(keyInfo, DER_TAG.sequence)),
    extensions,
    constraints: readConstraints(extensions.get(OID.basicConstraints)),
    uses: readUses(extensions.get(OID.keyUsage)),
  };
}

/** Takes the version off the front of the signed part; version 1 has none. */
function readVersion(parts: DerItem[]): number {
  if (parts[0]?.tag !== VERSION_TAG) return 1;
  const [item, ...rest] = readItems(expectTag(parts.shift(), VERSION_TAG));
  const [value = 0, ...high] = readUnsigned(item);
  if (rest.length > 0 || high.length > 0 || value < 1 || value > 2) throw refuse('an unknown version');
  return value + 1;
}

/** Reads an AlgorithmIdentifier: its identifier, and the identifier in its parameters where they are one. */
function readAlgorithm(item: DerItem): { oid: string; parameters: string | undefined } {
  const [oid, parameters, ...rest] = readItems(item);
  if (rest.length > 0) throw refuse('an algorithm of more than two parts');
  const named = parameters?.tag === DER_TAG.objectIdentifier ? readOid(parameters) : undefined;
  const name = readOid(oid);
  if (parameters !== undefined && BARE_ALGORITHMS.has(name)) throw refuse('parameters of an algorithm that has none');
  return { oid: name, parameters: named };
}

/** Reads a SubjectPublicKeyInfo. */
function readKeyInfo(info: DerItem): Pick<Certificate, 'publicKeyInfo' | 'curveOid' | 'publicKey'> {
  const [algorithm, bits, ...rest] = readItems(info);
  if (rest.length > 0) throw refuse('a public key of more than two parts');
  const { oid, parameters } = readAlgorithm(expectTag(algorithm, DER_TAG.sequence));
  const curveOid = oid === OID.ecPublicKey ? parameters : undefined;
  return { publicKeyInfo: info.whole, curveOid, publicKey: readWholeBits(bits) };
}

/** Reads what stands after the public key: the extensions, or nothing. */
function readExtensions(tail: readonly DerItem[], version: number): Map<string, ReadExtension> {
  const extensions = new Map<string, ReadExtension>();
  const [item, ...rest] = tail;
  if (item === undefined) return extensions;
  const [list, ...others] = readItems(expectTag(item, EXTENSIONS_TAG));
  if (rest.length > 0 || others.length > 0 || version !== 3) throw refuse('parts after the public key');
  for (const entry of readItems(expectTag(list, DER_TAG.sequence))) {
    const fields = readItems(expectTag(entry, DER_TAG.sequence));
    const oid = readOid(fields.shift());
    // An explicit FALSE is not DER, but published certificate authorities write it.
    const critical = fields[0]?.tag === DER_TAG.boolean && readBoolean(fields.shift());
    const value = expectTag(fields.shift(), DER_TAG.octetString).content;
    if (fields.length > 0 || extensions.has(oid)) throw refuse('an extension twice, or one with unknown parts');
    extensions.set(oid, { critical, value });
  }
  return extensions;
}

function readConstraints(extension: ReadExtension | undefined): Certificate['constraints'] {
  if (extension === undefined) return undefined;
  const fields = readItems(readDer(extension.value, DER_TAG.sequence));
  const ca = fields[0]?.tag === DER_TAG.boolean && readBoolean(fields.shift());
  if (fields.length === 0) return { ca, pathLen: undefined };
  const [pathLen = 0, ...high] = readUnsigned(fields.shift());
  if (fields.length > 0 || high.length > 0) throw refuse('bad basic constraints');
  return { ca, pathLen };
}

function readUses(extension: ReadExtension | undefined): ReadonlySet<KeyUsage> | undefined {
  if (extension === undefined) return undefined;
  const bits = readNamedBits(readDer(extension.value, DER_TAG.bitString));
  const names = Object.keys(KEY_USAGE_BIT).filter((name): name is KeyUsage => name in KEY_USAGE_BIT);
  return new Set(names.filter((name) => bits.has(KEY_USAGE_BIT[name])));
}

/**
 * Returns ECDSA's two integers as fixed-size bytes r‖s, as WebCrypto wants them.
 *
 * @param size - Bytes of one integer: 48 for P-384.
 * @throws {@link KmsError} `REQUEST_INVALID` if the signature is not DER of two integers of at most that size.
 */
export function rawSignature(der: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const [r, s, ...rest] = readItems(readDer(der, DER_TAG.sequence)).map(readUnsigned);
  if (r === undefined || s === undefined || rest.length > 0 || r.length > size || s.length > size) {
    throw refuse('a signature that is not two integers of the curve');
  }
  const out = new Uint8Array(2 * size);
  out.set(r, size - r.length);
  out.set(s, 2 * size - s.length);
  return out;
}

/** Returns whether two byte strings that are no secret are equal. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
