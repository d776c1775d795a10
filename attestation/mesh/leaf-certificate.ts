/**
 * The leaf certificate's bytes: X.509 v3, P-256, self-signed, one private extension. Written and read here alone, so
 * reading is strict: what was read is written again and must be the same bytes. Nothing here is secret but the key
 * that {@link writeLeafCertificate} signs with.
 */
import { type KeyObject, sign, X509Certificate } from 'node:crypto';
import { concatBytes, equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';

/** OID 2.25.77397931421296543670693387142833388602, content bytes: a UUID of our own, so nobody else's meaning. */
const EXTENSION_OID = Buffer.from('69f4baa6a8fcc4eab69398add09ee88c80f83a', 'hex');
const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');
const P256_SPKI_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
const SPKI_BYTES = P256_SPKI_PREFIX.length + 64;
const SERIAL_BYTES = 16;

/** What a leaf certificate says. */
export interface LeafFields {
  /** DER SubjectPublicKeyInfo of a P-256 key, uncompressed: 91 bytes. */
  readonly spki: Uint8Array;
  /** 16 bytes. */
  readonly serial: Uint8Array;
  /** Whole seconds. */
  readonly notBeforeMs: number;
  /** Whole seconds. */
  readonly notAfterMs: number;
  /** Content of the private extension. */
  readonly payload: Uint8Array;
}

const TAG = { integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utf8: 0x0c, utcTime: 0x17, time: 0x18 } as const;
const SEQUENCE = 0x30;
const SET = 0x31;
const context = (number: number): number => 0xa0 | number;

/** One DER element. */
function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(...content);
  if (body.length < 0x80) return concatBytes(Uint8Array.of(tag, body.length), body);
  const length = body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff];
  if (body.length > 0xffff) throw new KmsError('INTERNAL', 'a leaf certificate holds less than 64 KiB');
  return concatBytes(Uint8Array.of(tag, ...length), body);
}

const NAME = der(
  SEQUENCE,
  der(SET, der(SEQUENCE, der(TAG.oid, Uint8Array.of(0x55, 4, 3)), der(TAG.utf8, Buffer.from('arca mesh')))),
);

/** RFC 5280 §4.1.2.5: UTCTime up to 2049, GeneralizedTime after. */
function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-T:]|\.\d+/g, '');
  return ms < Date.UTC(2050) ? der(TAG.utcTime, Buffer.from(digits.slice(2))) : der(TAG.time, Buffer.from(digits));
}

function tbs({ spki, serial, notBeforeMs, notAfterMs, payload }: LeafFields): Uint8Array {
  const extension = der(SEQUENCE, der(TAG.oid, EXTENSION_OID), der(TAG.octets, payload));
  return der(
    SEQUENCE,
    der(context(0), der(TAG.integer, Uint8Array.of(2))),
    der(TAG.integer, serial),
    ECDSA_WITH_SHA256,
    NAME,
    der(SEQUENCE, time(notBeforeMs), time(notAfterMs)),
    NAME,
    spki,
    der(context(3), der(SEQUENCE, extension)),
  );
}

/** Returns the DER of a self-signed leaf certificate. Times are cut to whole seconds. */
export function writeLeafCertificate(fields: Omit<LeafFields, 'serial'>, privateKey: KeyObject): Uint8Array {
  // The serial need not be secret or random: one key makes one certificate.
  const serial = Uint8Array.from(fields.spki.subarray(-SERIAL_BYTES));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const body = tbs({
    ...fields,
    serial,
    notBeforeMs: Math.floor(fields.notBeforeMs / 1000) * 1000,
    notAfterMs: Math.floor(fields.notAfterMs / 1000) * 1000,
  });
  const signature = sign('sha256', body, privateKey);
  return der(SEQUENCE, body, ECDSA_WITH_SHA256, der(TAG.bits, Uint8Array.of(0), signature));
}

/**
 * Reads a leaf certificate without any cryptography.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` for anything that {@link writeLeafCertificate} would not write.
 */
export function readLeafCertificate(bytes: Uint8Array): LeafFields {
  const fields = scan(bytes);
  const whole = new Cursor(bytes).into(SEQUENCE);
  if (!equalBytes(whole.element(SEQUENCE), tbs(fields))) throw malformed('is not in its one form');
  if (!equalBytes(whole.element(SEQUENCE), ECDSA_WITH_SHA256)) throw malformed('is not signed with ECDSA and SHA-256');
  whole.content(TAG.bits);
  whole.end();
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

function scan(bytes: Uint8Array): LeafFields {
  const outer = new Cursor(bytes);
  const cursor = outer.into(SEQUENCE).into(SEQUENCE);
  outer.end();
  cursor.element(context(0));
  const serial = cursor.content(TAG.integer);
  cursor.element(SEQUENCE);
  cursor.element(SEQUENCE);
  const validity = cursor.into(SEQUENCE);
  const notBeforeMs = readTime(validity);
  const notAfterMs = readTime(validity);
  cursor.element(SEQUENCE);
  const spki = cursor.element(SEQUENCE);
  if (spki.length !== SPKI_BYTES || !equalBytes(spki.subarray(0, P256_SPKI_PREFIX.length), P256_SPKI_PREFIX)) {
    throw malformed('needs an uncompressed P-256 key');
  }
  const extension = cursor.into(context(3)).into(SEQUENCE).into(SEQUENCE);
  if (!equalBytes(extension.content(TAG.oid), EXTENSION_OID)) throw malformed('carries no attestation document');
  return { spki, serial, notBeforeMs, notAfterMs, payload: extension.content(TAG.octets) };
}

function readTime(cursor: Cursor): number {
  const utc = cursor.next() === TAG.utcTime;
  const text = Buffer.from(cursor.content(utc ? TAG.utcTime : TAG.time)).toString('latin1');
  const full = utc ? `20${text}` : text;
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full);
  const ms = match ? Date.parse(full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z')) : Number.NaN;
  if (Number.isNaN(ms)) throw malformed('has an unreadable validity');
  return ms;
}

const malformed = (why: string): KmsError => new KmsError('ATTESTATION_INVALID', `the leaf certificate ${why}`);

/** Walks over DER elements of definite length; canonical form is checked by writing again. */
class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Tag of the next element, undefined at the end. */
  next(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next element whole. */
  element(tag: number): Uint8Array {
    const start = this.#at;
    this.content(tag);
    return this.#bytes.subarray(start, this.#at);
  }

  /** The next element's content. */
  content(tag: number): Uint8Array {
    const first = this.#bytes[this.#at + 1];
    if (this.next() !== tag || first === undefined) throw malformed('is not the expected structure');
    const lengthBytes = first < 0x80 ? 0 : first - 0x80;
    if (lengthBytes > 2) throw malformed('is too large');
    let length = first < 0x80 ? first : 0;
    for (let i = 0; i < lengthBytes; i++) length = (length << 8) | (this.#bytes[this.#at + 2 + i] ?? 0);
    const start = this.#at + 2 + lengthBytes;
    if (start + length > this.#bytes.length) throw malformed('ends too early');
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  into(tag: number): Cursor {
    return new Cursor(this.content(tag));
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed('has bytes after its end');
  }
}
