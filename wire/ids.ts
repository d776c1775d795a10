/**
 * Ids of requests, keys, CRSs, preprocessings, contexts and epochs: 32 bytes, written as 64 hexadecimal digits.
 *
 * The canonical form is lower case without prefix; {@link parseRequestId} takes what the published server takes.
 */
import { toHex } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { domainHash, HASH_TAG, u64le } from './hash.ts';

/** An id in canonical form: 64 lower-case hexadecimal digits, not all zero. */
export type RequestId = string & { readonly __brand: 'RequestId' };

/** Length of an id, in bytes. */
export const ID_BYTES = 32;

const CANONICAL = /^[0-9a-f]{64}$/;
const ZERO = '0'.repeat(64);

/**
 * Parses an id as clients write it: white space around it, `0x` in front and upper case are accepted.
 *
 * @param field - Name of the field for the error.
 * @throws {@link KmsError} `REQUEST_INVALID` for another length, other characters, or the all-zero id.
 * @example
 * parseRequestId(' 0xAB…'); // 'ab…'
 */
export function parseRequestId(text: string, field = 'request_id'): RequestId {
  const trimmed = CANONICAL.test(text) ? text : text.trim().replace(/^0x/, '').toLowerCase();
  if (!isRequestId(trimmed)) {
    throw new KmsError('REQUEST_INVALID', `${field} must be 64 hexadecimal digits, not all zero`, { field });
  }
  return trimmed;
}

/** Returns whether `text` is an id in canonical form. */
export function isRequestId(text: string): text is RequestId {
  return CANONICAL.test(text) && text !== ZERO;
}

/** Returns the 32 bytes of an id. */
export function idBytes(id: RequestId): Uint8Array {
  return Uint8Array.from(Buffer.from(id, 'hex'));
}

/**
 * Returns the id that the 32 bytes are.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for another length or all zeros.
 */
export function idFromBytes(bytes: Uint8Array, field = 'id'): RequestId {
  return parseRequestId(toHex(bytes), field);
}

/** Returns the id that belongs to a name, such as the file name of the node's signing key. */
export function deriveRequestId(name: string): RequestId {
  const bytes = new TextEncoder().encode(name);
  return idFromBytes(domainHash(HASH_TAG.requestId, u64le(bytes.byteLength), bytes));
}

/** Id under which the signing key and what belongs to it are stored. */
export const SIGNING_KEY_ID: RequestId = deriveRequestId('SIGNING_KEY_ID');
/** Context of requests that name none. */
export const DEFAULT_CONTEXT_ID: RequestId = parseRequestId(`07${'0'.repeat(61)}1`);
/** Epoch of requests that name none. */
export const DEFAULT_EPOCH_ID: RequestId = parseRequestId(`08${'0'.repeat(61)}1`);
