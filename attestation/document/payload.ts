/**
 * Envelope and payload of a document: COSE_Sign1 (RFC 9052 §4.2) over a CBOR map. Everything is bounded and
 * typed here, nothing is believed: what comes out is a claim until the signatures have been checked.
 */
import { KmsError } from '../../common/errors.ts';
import { type CborKey, type CborValue, decodeStrict, encodeCanonical, isMap } from '../cbor.ts';
import type { CheckSheet } from './checks.ts';
import { documentBytes, MAX_DOCUMENT_BYTES } from './input.ts';
import type { DocumentInput, Platform } from './types.ts';

/** A document taken apart; views into one copy of what was received. */
export interface Envelope {
  readonly payload: Uint8Array;
  /** 96 bytes. */
  readonly signature: Uint8Array;
  /** What the signature covers: ["Signature1", protected, h'', payload] with the payload as received. */
  readonly signed: Uint8Array<ArrayBuffer>;
}

/** What of a payload could be read: a member whose check failed is undefined. */
export type ReadableClaims = { readonly [Name in keyof Claims]: Claims[Name] | undefined };

/** What a payload says. An optional field that is absent, null or empty is undefined: all three occur for "not set". */
export interface Claims {
  readonly moduleId: string;
  readonly timestampMs: number;
  readonly platform: Platform;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly certificate: Uint8Array;
  readonly cabundle: readonly Uint8Array[];
  readonly publicKey: Uint8Array | undefined;
  readonly userData: Uint8Array | undefined;
  readonly nonce: Uint8Array | undefined;
}

const COSE_SIGN1_TAG = 0xd2;
const MAX_PAYLOAD_BYTES = 16_384;
const SIGNATURE_BYTES = 96;
const ENVELOPE_DEPTH = 2;
const PAYLOAD_DEPTH = 2;
const HEADER_ALGORITHM = 1;
const ES384 = -35;
const PCR_BYTES = 48;
const PCR_COUNT: Readonly<Record<Platform, number>> = { enclave: 32, 'nitro-tpm': 24 };
const MAX_CERTIFICATES = 8;
const MAX_CERTIFICATE_BYTES = 1024;
const MAX_FIELD_BYTES = 1024;
const MAX_MODULE_ID_LENGTH = 256;
/** End of year 9999: later moments have no printed form. */
const MAX_TIME_MS = 253_402_300_799_999;

const refuse = (why: string): KmsError => new KmsError('REQUEST_INVALID', why);

/** Checks group 1; returns what was received if it has the form of COSE_Sign1, whatever else failed. */
export function readEnvelope(input: DocumentInput, sheet: CheckSheet): Envelope | undefined {
  const bytes = sheet.attempt('1.1', () => documentBytes(input));
  if (bytes === undefined) return undefined;
  const untagged = bytes[0] === COSE_SIGN1_TAG ? bytes.subarray(1) : bytes;
  const limits = { maxBytes: MAX_DOCUMENT_BYTES, maxDepth: ENVELOPE_DEPTH, allowIndefinite: true };
  const item = sheet.attempt('1.2', () => decodeStrict(untagged, limits));
  if (item === undefined) return undefined;
  const parts = sheet.attempt('1.3', () => readParts(item));
  if (parts === undefined) return undefined;
  const { protectedHeader, unprotectedSize, payload, signature } = parts;
  sheet.attempt('1.4', () => checkProtectedHeader(protectedHeader));
  sheet.judge('1.5', unprotectedSize === 0 ? [] : [`it has ${unprotectedSize} entries`]);
  sheet.judge('1.6', signature.length === SIGNATURE_BYTES ? [] : [`it has ${signature.length} bytes`]);
  const fits = payload.length > 0 && payload.length <= MAX_PAYLOAD_BYTES;
  sheet.judge('1.7', fits ? [] : [`it has ${payload.length} bytes`]);
  const signed = encodeCanonical(['Signature1', protectedHeader, new Uint8Array(0), payload]);
  return { payload, signature, signed };
}

function readParts(item: CborValue): {
  protectedHeader: Uint8Array;
  unprotectedSize: number;
  payload: Uint8Array;
  signature: Uint8Array;
} {
  if (!Array.isArray(item) || item.length !== 4) throw refuse('not an array of four');
  const [protectedHeader, unprotected, payload, signature]: readonly CborValue[] = item;
  if (!(protectedHeader instanceof Uint8Array)) throw refuse('protected header is not a byte string');
  if (!isMap(unprotected)) throw refuse('unprotected header is not a map');
  if (!(payload instanceof Uint8Array)) throw refuse('payload is not a byte string');
  if (!(signature instanceof Uint8Array)) throw refuse('signature is not a byte string');
  return { protectedHeader, unprotectedSize: unprotected.size, payload, signature };
}

/** One entry, definite length, shortest heads: only `a1 01 38 22` passes. */
function checkProtectedHeader(bytes: Uint8Array): void {
  const header = decodeStrict(bytes, { maxBytes: 64, maxDepth: 1 });
  if (!isMap(header) || header.size !== 1 || header.get(HEADER_ALGORITHM) !== ES384) throw refuse('not {1: -35}');
}

/** Checks group 2; returns what could be read, undefined if the payload is no map. */
export function readClaims(payload: Uint8Array, sheet: CheckSheet): ReadableClaims | undefined {
  const limits = { maxBytes: MAX_PAYLOAD_BYTES, maxDepth: PAYLOAD_DEPTH, allowIndefinite: true };
  const map = sheet.attempt('2.1', () => textMap(decodeStrict(payload, limits)));
  if (map === undefined) return undefined;
  const moduleId = sheet.attempt('2.2', () => readModuleId(map.get('module_id')));
  sheet.judge('2.3', map.get('digest') === 'SHA384' ? [] : ['it is missing or another']);
  const timestampMs = sheet.attempt('2.4', () => readTimestamp(map.get('timestamp')));
  const platform = sheet.attempt('2.5', () => readPlatform(map));
  const pcrs = platform && sheet.attempt('2.6', () => readPcrs(map, platform));
  const certificate = sheet.attempt('2.7', () => readCertificate(map.get('certificate')));
  const cabundle = sheet.attempt('2.8', () => readBundle(map.get('cabundle')));
  const fields = sheet.attempt('2.9', () => ({
    publicKey: readField(map, 'public_key'),
    userData: readField(map, 'user_data'),
    nonce: readField(map, 'nonce'),
  }));
  const { publicKey, userData, nonce } = fields ?? {};
  return { moduleId, timestampMs, platform, pcrs, certificate, cabundle, publicKey, userData, nonce };
}

/** Returns the claims if all of group 2 passed. */
export function wholeClaims(claims: ReadableClaims, sheet: CheckSheet): Claims | undefined {
  const { moduleId, timestampMs, platform, pcrs, certificate, cabundle } = claims;
  if (!sheet.passed('2')) return undefined;
  if (!moduleId || !timestampMs || !platform || !pcrs || !certificate || !cabundle) return undefined;
  return { ...claims, moduleId, timestampMs, platform, pcrs, certificate, cabundle };
}

function textMap(value: CborValue): ReadonlyMap<CborKey, CborValue> {
  if (!isMap(value)) throw refuse('the payload is not a map');
  for (const key of value.keys()) if (typeof key !== 'string') throw refuse('a key that is not text');
  return value;
}

function readModuleId(value: CborValue | undefined): string {
  const printable = typeof value === 'string' && /^[\x21-\x7e]+$/.test(value) && value.length <= MAX_MODULE_ID_LENGTH;
  if (!printable) throw refuse('missing, or not 1 to 256 printable characters');
  return value;
}

function readTimestamp(value: CborValue | undefined): number {
  if (typeof value !== 'number' || value <= 0 || value > MAX_TIME_MS) throw refuse('missing, or no moment in time');
  return value;
}

function readPlatform(map: ReadonlyMap<CborKey, CborValue>): Platform {
  const enclave = map.has('pcrs');
  if (enclave === map.has('nitrotpm_pcrs')) throw refuse(enclave ? 'both are present' : 'both are missing');
  return enclave ? 'enclave' : 'nitro-tpm';
}

function readPcrs(map: ReadonlyMap<CborKey, CborValue>, platform: Platform): ReadonlyMap<number, Uint8Array> {
  const value = map.get(platform === 'enclave' ? 'pcrs' : 'nitrotpm_pcrs');
  const count = PCR_COUNT[platform];
  if (!isMap(value) || value.size === 0 || value.size > count) throw refuse(`not a map of 1 to ${count} entries`);
  const pcrs = new Map<number, Uint8Array>();
  for (const [index, data] of value) {
    if (typeof index !== 'number' || index < 0 || index >= count) throw refuse(`an index outside 0 to ${count - 1}`);
    if (!(data instanceof Uint8Array) || data.length !== PCR_BYTES) throw refuse(`PCR${index} is not 48 bytes`);
    pcrs.set(index, data);
  }
  return pcrs;
}

function readCertificate(value: CborValue | undefined): Uint8Array {
  const fits = value instanceof Uint8Array && value.length > 0 && value.length <= MAX_CERTIFICATE_BYTES;
  if (!fits) throw refuse('missing, or not 1 to 1024 bytes');
  return value;
}

function readBundle(value: CborValue | undefined): Uint8Array[] {
  if (!Array.isArray(value) || value.length === 0) throw refuse('missing, or not an array of certificates');
  const items: readonly CborValue[] = value;
  if (items.length > MAX_CERTIFICATES) throw refuse(`${items.length} certificates`);
  return items.map(readCertificate);
}

function readField(map: ReadonlyMap<CborKey, CborValue>, name: string): Uint8Array | undefined {
  const value = map.get(name);
  if (value === undefined || value === null) return undefined;
  if (!(value instanceof Uint8Array)) throw refuse(`${name} is not a byte string`);
  if (value.length > MAX_FIELD_BYTES) throw refuse(`${name} has ${value.length} bytes`);
  return value.length === 0 ? undefined : value;
}
