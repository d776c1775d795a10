/**
 * An object with its signatures, as it is stored and sent: canonical CBOR `{body, signatures, approvals}`.
 *
 * `body` holds the canonical bytes that were signed, untouched: they are never encoded again. `signatures` are those
 * of release keys over the body's digest, `approvals` those of governance keys over the digest of a proposal about it.
 * Both lists are ascending by key with no key twice. Everything here is public and untrusted until verified.
 */
import { fromHex, toHex } from '../../common/bytes.ts';
import { type CborKey, type CborValue, encodeCanonical } from '../cbor.ts';
import { decodeCanonical, readBody, sha384 } from './canonical.ts';
import { isSignatureOf, type KeySignature, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from './ed25519.ts';
import type { Faults, Field, Fields } from './fields.ts';

/** An object, the bytes that were signed, and by whom. */
export interface Signed<T> {
  readonly body: T;
  /** Canonical bytes of the body. */
  readonly bytes: Uint8Array;
  /** Release keys' signatures over the SHA-384 of `bytes`; none but on release sets. */
  readonly signatures: readonly KeySignature[];
  /** Governance keys' signatures over the digest of the proposal that names this body. */
  readonly approvals: readonly KeySignature[];
}

/** Most signatures of one kind that an object may carry. */
const MAX_SIGNATURES = 64;

/** Returns SHA-384 of the body's canonical bytes: the name of the object in proposals and errors. */
export function bodyDigest(signed: Pick<Signed<unknown>, 'bytes'>): Uint8Array {
  return sha384(signed.bytes);
}

/** Returns the stored form of an object. */
export function encodeSigned(signed: Omit<Signed<unknown>, 'body'>): Uint8Array {
  return encodeCanonical(
    new Map<CborKey, CborValue>([
      ['body', signed.bytes],
      ['signatures', cborSignatures(signed.signatures)],
      ['approvals', cborSignatures(signed.approvals)],
    ]),
  );
}

/**
 * Reads the stored form; signatures are not verified here.
 *
 * @param decode - Reads the body's canonical bytes.
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function decodeSigned<T>(bytes: Uint8Array, what: string, decode: (body: Uint8Array) => T): Signed<T> {
  const value = decodeCanonical(bytes, what);
  const parts = readBody(value, 'cbor', what, (field) =>
    field.object((fields) => ({ bytes: fields.get('body').blob(), ...readSignatures(fields) })),
  );
  return { ...parts, body: decode(parts.bytes) };
}

/** Returns the JSON form for people, given that of the body. */
export function signedToJson<T>(
  signed: Signed<T>,
  bodyToJson: (body: T) => unknown,
): Readonly<Record<string, unknown>> {
  const list = (signatures: readonly KeySignature[]) =>
    signatures.map(({ key, signature }) => ({ key: toHex(key), signature: toHex(signature) }));
  return {
    body: bodyToJson(signed.body),
    signatures: list(signed.signatures),
    approvals: list(signed.approvals),
  };
}

/**
 * Reads the JSON form: the body's bytes come out as they were, since a body has one encoding only.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` with all faults.
 */
export function signedFromJson<T>(
  value: unknown,
  what: string,
  codec: { readonly read: (body: Field, faults: Faults) => T; readonly encode: (body: T) => Uint8Array },
): Signed<T> {
  const parts = readBody(value, 'json', what, (field, faults) =>
    field.object((fields) => ({ body: codec.read(fields.get('body'), faults), ...readSignatures(fields) })),
  );
  return { ...parts, bytes: codec.encode(parts.body) };
}

/** Adds a signature to a list in its place; one of the same key is replaced. */
export function withSignature(signatures: readonly KeySignature[], added: KeySignature): KeySignature[] {
  const others = signatures.filter(({ key }) => Buffer.compare(key, added.key) !== 0);
  return [...others, added].sort((a, b) => Buffer.compare(a.key, b.key));
}

/** Returns the signatures of the given keys. */
export function onlyOf(signatures: readonly KeySignature[], keys: readonly Uint8Array[]): KeySignature[] {
  const names = new Set(keys.map(toHex));
  return signatures.filter(({ key }) => names.has(toHex(key)));
}

/** Returns the object with the signatures of both; where a key has signed both times, the held one stays. */
export function mergeSigned<T>(held: Signed<T>, offered: Omit<Signed<unknown>, 'body'>): Signed<T> {
  const merge = (own: readonly KeySignature[], more: readonly KeySignature[]): readonly KeySignature[] =>
    own.reduce<readonly KeySignature[]>((list, signature) => withSignature(list, signature), more);
  return {
    ...held,
    signatures: merge(held.signatures, offered.signatures),
    approvals: merge(held.approvals, offered.approvals),
  };
}

/** What {@link judgeSignatures} found. */
export interface SignatureJudgement {
  /** Keys of the list that have signed, each once. */
  readonly valid: readonly Uint8Array[];
  /** Hexadecimal keys that are not on the list. */
  readonly unknown: readonly string[];
  /** Hexadecimal keys on the list whose signature does not verify. */
  readonly invalid: readonly string[];
}

/** Sorts signatures over `message` into those that count, those of strangers, and those that do not verify. */
export function judgeSignatures(
  signatures: readonly KeySignature[],
  keys: readonly Uint8Array[],
  message: Uint8Array,
): SignatureJudgement {
  const known = new Map(keys.map((key) => [toHex(key), key]));
  const valid = new Set<string>();
  const unknown = new Set<string>();
  const invalid = new Set<string>();
  for (const { key, signature } of signatures) {
    const name = toHex(key);
    if (!known.has(name)) unknown.add(name);
    else if (isSignatureOf(key, message, signature)) valid.add(name);
    else invalid.add(name);
  }
  return {
    valid: [...valid].map(fromHex),
    unknown: [...unknown],
    invalid: [...invalid].filter((name) => !valid.has(name)),
  };
}

/** Returns what is to be said of signatures that did not count, or an empty text. */
export function describeUncounted({ unknown, invalid }: SignatureJudgement): string {
  const parts = [
    ...(unknown.length > 0 ? [`not on the list of keys: ${unknown.join(', ')}`] : []),
    ...(invalid.length > 0 ? [`signature does not verify: ${invalid.join(', ')}`] : []),
  ];
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
}

function cborSignatures(signatures: readonly KeySignature[]): CborValue {
  return signatures.map(
    ({ key, signature }) =>
      new Map<CborKey, CborValue>([
        ['key', key],
        ['signature', signature],
      ]),
  );
}

function readSignatures(fields: Fields): { signatures: KeySignature[]; approvals: KeySignature[] } {
  return {
    signatures: readSignatureList(fields.get('signatures')),
    approvals: readSignatureList(fields.get('approvals')),
  };
}

/** Reads a list of signatures: ascending by key, no key twice. */
function readSignatureList(field: Field): KeySignature[] {
  const read = (item: Field) =>
    item.object((fields) => ({
      key: fields.get('key').bytes(PUBLIC_KEY_BYTES),
      signature: fields.get('signature').bytes(SIGNATURE_BYTES),
    }));
  return field.sortedList({ min: 0, max: MAX_SIGNATURES }, read, (a, b) => Buffer.compare(a.key, b.key));
}
