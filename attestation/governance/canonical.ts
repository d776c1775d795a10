/**
 * Canonical bytes of governed objects: `[label, fields]`, core deterministic CBOR (RFC 8949, 4.2.1).
 *
 * These bytes are what is signed, hashed, stored and sent. A reader refuses any other encoding of the same fields, so
 * an object has one digest only. Labels are unique over everything that anybody signs: docs/security/signatures.md.
 */
import { createHash } from 'node:crypto';
import { KmsError } from '../../common/errors.ts';
import { type CborKey, type CborValue, decodeStrict, encodeCanonical } from '../cbor.ts';
import { Faults, Field, type Form } from './fields.ts';

/** First element of each object's canonical bytes. */
export const GOVERNANCE_LABEL = {
  charter: 'arca-charter-1',
  record: 'arca-record-1',
  releaseSet: 'arca-release-set-1',
  proposal: 'arca-proposal-1',
} as const;

/** One of the labels. */
export type GovernanceLabel = (typeof GOVERNANCE_LABEL)[keyof typeof GOVERNANCE_LABEL];

/** Largest object that is read: a release set of 512 entries with all PCRs takes less. */
export const MAX_OBJECT_BYTES = 1_048_576;
const MAX_DEPTH = 8;

/** Fields of an object to be encoded; those that are undefined are left out. */
export type FieldValues = Readonly<Record<string, CborValue | undefined>>;

/** Returns a CBOR map of the fields that are there. */
export function cborFields(values: FieldValues): Map<CborKey, CborValue> {
  const map = new Map<CborKey, CborValue>();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) map.set(name, value);
  return map;
}

/** Returns the canonical bytes of an object. */
export function encodeLabelled(label: GovernanceLabel, values: FieldValues): Uint8Array {
  return encodeCanonical([label, cborFields(values)]);
}

/**
 * Decodes CBOR that must be canonical.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it is too large, too deep, malformed, or encoded in another way.
 */
export function decodeCanonical(bytes: Uint8Array, what: string, maxBytes: number = MAX_OBJECT_BYTES): CborValue {
  if (bytes.byteLength > maxBytes) {
    throw new KmsError('REQUEST_INVALID', `${what} is too large`, {
      sizeBytes: bytes.byteLength,
      limitBytes: maxBytes,
    });
  }
  try {
    return decodeStrict(bytes, { maxBytes, maxDepth: MAX_DEPTH, canonical: true });
  } catch (error) {
    throw new KmsError('REQUEST_INVALID', `${what} is no canonical CBOR`, {}, error);
  }
}

/**
 * Decodes the canonical bytes of an object and reads its fields.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeLabelled<T>(
  bytes: Uint8Array,
  label: GovernanceLabel,
  what: string,
  read: (body: Field, faults: Faults) => T,
): T {
  const value = decodeCanonical(bytes, what);
  if (!Array.isArray(value) || value.length !== 2 || value[0] !== label) {
    throw new KmsError('REQUEST_INVALID', `${what} does not begin with the label ${label}`);
  }
  return readBody(value[1], 'cbor', what, read);
}

/**
 * Reads an object in either form.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function readBody<T>(value: unknown, form: Form, what: string, read: (body: Field, faults: Faults) => T): T {
  const faults = new Faults();
  const body = read(new Field(value, '', form, faults), faults);
  faults.check(what);
  return body;
}

/** SHA-384, the hash of every digest here. */
export function sha384(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha384');
  for (const part of parts) hash.update(part);
  return Uint8Array.from(hash.digest());
}
