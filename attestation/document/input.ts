/** Reads a document as people and files have it: raw bytes, hex, base64. Hostile input; bounded before decoding. */
import { KmsError } from '../../common/errors.ts';
import type { DocumentInput } from './types.ts';

/** Most bytes of a document: a full payload and what stands round it. */
export const MAX_DOCUMENT_BYTES = 16_640;

/** Hex doubles the size; the rest is for line ends. */
const MAX_TEXT_LENGTH = 3 * MAX_DOCUMENT_BYTES;

const refuse = (why: string): KmsError => new KmsError('REQUEST_INVALID', why);

/**
 * Returns the document's bytes in memory of their own.
 *
 * Bytes that begin with an ASCII character are taken as the text in a file: no document begins with one.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything empty, too long, or neither hex nor base64.
 */
export function documentBytes(input: DocumentInput): Uint8Array<ArrayBuffer> {
  // Callers without types may give anything; instanceof would refuse the bytes of another realm.
  const isBytes = Object.prototype.toString.call(input) === '[object Uint8Array]';
  if (typeof input !== 'string' && !isBytes) throw refuse('neither bytes nor text');
  const bytes = typeof input === 'string' ? fromText(input) : fromBytes(input);
  if (bytes.length === 0) throw refuse('the document is empty');
  if (bytes.length > MAX_DOCUMENT_BYTES) throw refuse(`more than ${MAX_DOCUMENT_BYTES} bytes`);
  return bytes;
}

function fromBytes(input: Uint8Array): Uint8Array<ArrayBuffer> {
  if (input.length > MAX_TEXT_LENGTH) throw refuse(`more than ${MAX_DOCUMENT_BYTES} bytes`);
  const isText = (input[0] ?? 0xff) < 0x80;
  return isText ? fromText(new TextDecoder('latin1').decode(input)) : new Uint8Array(input);
}

function fromText(input: string): Uint8Array<ArrayBuffer> {
  if (input.length > MAX_TEXT_LENGTH) throw refuse(`more than ${MAX_DOCUMENT_BYTES} bytes`);
  const text = input.replaceAll(/\s+/g, '');
  // No document's base64 is hex as well: it begins with "hE" or "0oR".
  const hex = /^(?:0x)?((?:[0-9a-f]{2})+)$/i.exec(text)?.[1];
  if (hex !== undefined) return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  if (!/^[0-9a-z+/_-]+={0,2}$/i.test(text)) throw refuse('neither bytes nor hex nor base64');
  try {
    const raw = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    return Uint8Array.from(raw, (character) => character.charCodeAt(0));
  } catch (cause) {
    throw new KmsError('REQUEST_INVALID', 'neither bytes nor hex nor base64', {}, cause);
  }
}
