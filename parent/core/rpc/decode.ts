/**
 * Decodes requests off the wire. Byte fields are views into the body: a ciphertext is never copied here.
 *
 * A few hundred bytes of memory may come out of two bytes of message, so size and number of fields are bounded first.
 */
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';

/** Requests without ciphertexts are small; the largest are contexts and epochs of many nodes and keys. */
const MAX_CONTROL_BYTES = 256 * 1024;
/** Most ciphertexts, and other fields, at the top of one request. */
const MAX_FIELDS = 4096;
/** Number of the field that holds ciphertexts, in both decryption requests. */
const CIPHERTEXTS_FIELD = 2;
const OPTIONS = { readUnknownFields: false } as const;

/**
 * Decodes a request that carries no ciphertexts.
 *
 * @param maxBytes - More than the usual for requests that are lists of ids.
 * @throws {@link KmsError} `REQUEST_INVALID` if it is no such message, `RESOURCE_EXHAUSTED` if it is too large for one.
 */
export function decodeControl<D extends DescMessage>(
  schema: D,
  body: Uint8Array,
  maxBytes = MAX_CONTROL_BYTES,
): MessageShape<D> {
  if (body.byteLength > maxBytes) {
    throw new KmsError('RESOURCE_EXHAUSTED', `this request has at most ${maxBytes} bytes`, {
      sizeBytes: body.byteLength,
    });
  }
  return decode(schema, body);
}

/**
 * Decodes a request that carries ciphertexts.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it is no such message or has too many fields.
 */
export function decodeCiphertexts<D extends DescMessage>(schema: D, body: Uint8Array): MessageShape<D> {
  checkFields(body);
  return decode(schema, body);
}

function decode<D extends DescMessage>(schema: D, body: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, body, OPTIONS);
  } catch {
    // The library's error may quote what it read.
    throw new KmsError('REQUEST_INVALID', `not an encoded ${schema.typeName}`);
  }
}

/** Walks over the top level of a message, without decoding any of it. */
function checkFields(body: Uint8Array): void {
  const cursor = { body, at: 0 };
  let fields = 0;
  let otherBytes = 0;
  while (cursor.at < body.byteLength) {
    const tag = readVarint(cursor);
    if (++fields > MAX_FIELDS) throw new KmsError('REQUEST_INVALID', `a request has at most ${MAX_FIELDS} fields`);
    const sizeBytes = fieldBytes(tag % 8, cursor);
    cursor.at += sizeBytes;
    if (Math.floor(tag / 8) !== CIPHERTEXTS_FIELD) otherBytes += sizeBytes;
  }
  if (otherBytes > MAX_CONTROL_BYTES) {
    throw new KmsError('REQUEST_INVALID', `a request has at most ${MAX_CONTROL_BYTES} bytes beside its ciphertexts`);
  }
}

/** Bytes of the field's content that lie ahead of the cursor. */
function fieldBytes(wireType: number, cursor: Cursor): number {
  switch (wireType) {
    case 0:
      readVarint(cursor);
      return 0;
    case 1:
      return 8;
    case 2:
      return readVarint(cursor);
    case 5:
      return 4;
    default:
      throw new KmsError('REQUEST_INVALID', 'the request is not an encoded message');
  }
}

interface Cursor {
  readonly body: Uint8Array;
  at: number;
}

/** Reads a varint as a number; what does not fit one is larger than any length, which is enough here. */
function readVarint(cursor: Cursor): number {
  let value = 0;
  let factor = 1;
  for (let count = 0; count < 10; count++) {
    const byte = cursor.body[cursor.at++];
    if (byte === undefined) break;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
    factor *= 128;
  }
  throw new KmsError('REQUEST_INVALID', 'the request is not an encoded message');
}
