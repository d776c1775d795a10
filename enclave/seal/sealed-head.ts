/**
 * The head of a sealed object: what it is, how its data key is wrapped, how it is encrypted. Public and signed.
 *
 * Format: docs/formats/sealed-object.md.
 */
import { createHash } from 'node:crypto';
import { type CborValue, decodeStrict, encodeCanonical } from '../../attestation/cbor.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { DATA_KEY_PURPOSES, type WrappedDataKey } from '../keychain/data-keys.ts';
import { invalidClaims, type ObjectClaims } from './object-claims.ts';

/** How content is made smaller before it is encrypted. */
export const COMPRESSIONS = ['none', 'zstd'] as const;

/** All that a head holds. */
export interface SealedHead extends ObjectClaims {
  /** Ed25519 key that signs head and tail. */
  readonly signer: Uint8Array;
  /** Name of the keychain. */
  readonly keychain: string;
  readonly wrapped: WrappedDataKey;
  /** Fixes the data key: an object has one, whoever unwraps it. */
  readonly commitment: Uint8Array;
  /** Header of the secretstream. */
  readonly streamHeader: Uint8Array;
  readonly compression: (typeof COMPRESSIONS)[number];
  /** Size of the content, where it was known before. */
  readonly sizeBytes: number | undefined;
}

/** What every sealed object begins with. */
export const MAGIC = new TextEncoder().encode('ARCASEAL');
/** Version of the format. */
export const FORMAT_VERSION = 1;
/** Magic, u32 version, u32 size of the head. */
export const PREFIX_BYTES = 16;
/** Most bytes of a head. */
export const MAX_HEAD_BYTES = 16_384;
/** Size of the secretstream's header. */
export const STREAM_HEADER_BYTES = 24;
/** Size of the commitment and of an Ed25519 key. */
export const HASH_BYTES = 32;

const LABEL = 'arca-object-head-1';
const MAX_KEYCHAIN_BYTES = 64;
const MAX_ROOT_BYTES = 2048;
const MAX_WRAPPED_BYTES = 6144;
const FIELDS = 18;

/** Returns the fields of a head under the names that the format gives them. */
export function headFields(head: SealedHead): ReadonlyMap<string, CborValue> {
  return new Map<string, CborValue>([
    ['charter', head.charterDigest],
    ['commitment', head.commitment],
    ['compression', head.compression],
    ['context', head.contextId ?? null],
    ['epoch', head.epochId ?? null],
    ['key', head.keyId ?? null],
    ['keychain', head.keychain],
    ['name', head.name],
    ['parameters', head.parameters ?? null],
    ['party', head.party],
    ['purpose', head.purpose],
    ['root', head.wrapped.keyId],
    ['signer', head.signer],
    ['size', head.sizeBytes ?? null],
    ['stream', head.streamHeader],
    ['type', head.type],
    ['version', head.version],
    ['wrapped', head.wrapped.blob],
  ]);
}

/** Returns the bytes of a head, as they are stored and hashed. */
export function encodeHead(head: SealedHead): Uint8Array<ArrayBuffer> {
  return encodeCanonical([LABEL, headFields(head)]);
}

/** Returns what the node signs, and what every chunk is bound to: SHA-384 of the head's bytes. */
export function headDigest(encoded: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(createHash('sha384').update(encoded).digest());
}

/** Returns a head, or undefined if the bytes are not the one encoding of a well-formed one. */
export function decodeHead(bytes: Uint8Array): SealedHead | undefined {
  try {
    const limits = { maxBytes: MAX_HEAD_BYTES, maxDepth: 2, canonical: true } as const;
    return parseHead(decodeStrict(bytes, limits));
  } catch (error) {
    if (isKmsError(error, 'REQUEST_INVALID')) return undefined;
    throw error;
  }
}

function parseHead(value: CborValue): SealedHead | undefined {
  if (!Array.isArray(value) || value.length !== 2 || value[0] !== LABEL) return undefined;
  const fields: unknown = value[1];
  if (!(fields instanceof Map) || fields.size !== FIELDS) return undefined;
  const text = (name: string): string => typed(fields.get(name), isText);
  const id = (name: string): string | undefined => (fields.get(name) === null ? undefined : text(name));
  const number = (name: string): number => typed(fields.get(name), isCount);
  const bytes = (name: string, least: number, most = least): Uint8Array =>
    Uint8Array.from(typed(fields.get(name), (field): field is Uint8Array => isBytes(field, least, most)));
  const head: SealedHead = {
    purpose: oneOf(DATA_KEY_PURPOSES, text('purpose')),
    charterDigest: bytes('charter', 48),
    party: number('party'),
    name: text('name'),
    type: text('type'),
    keyId: id('key'),
    contextId: id('context'),
    epochId: id('epoch'),
    parameters: id('parameters'),
    version: number('version'),
    signer: bytes('signer', HASH_BYTES),
    keychain: text('keychain'),
    wrapped: { keyId: text('root'), blob: bytes('wrapped', 1, MAX_WRAPPED_BYTES) },
    commitment: bytes('commitment', HASH_BYTES),
    streamHeader: bytes('stream', STREAM_HEADER_BYTES),
    compression: oneOf(COMPRESSIONS, text('compression')),
    sizeBytes: fields.get('size') === null ? undefined : number('size'),
  };
  const fits = head.keychain.length <= MAX_KEYCHAIN_BYTES && head.wrapped.keyId.length <= MAX_ROOT_BYTES;
  return fits && invalidClaims(head).length === 0 ? head : undefined;
}

const isText = (field: unknown): field is string => typeof field === 'string';

const isCount = (field: unknown): field is number =>
  typeof field === 'number' && Number.isSafeInteger(field) && field >= 0;

const isBytes = (field: unknown, least: number, most: number): boolean =>
  field instanceof Uint8Array && field.length >= least && field.length <= most;

function typed<T>(field: unknown, is: (field: unknown) => field is T): T {
  if (is(field)) return field;
  throw new KmsError('REQUEST_INVALID', 'a field of the head is of another type');
}

function oneOf<T extends string>(known: readonly T[], text: string): T {
  const found = known.find((name) => name === text);
  if (found !== undefined) return found;
  throw new KmsError('REQUEST_INVALID', 'a field of the head has a value that is not known');
}
