/**
 * A reader and writer of the BER (X.690) that CMS comes in: definite and indefinite lengths, one-byte tags, within
 * bounds that are checked before anything is kept. Hostile input; what it reads is public.
 *
 * For certificates there is a stricter reader, of DER alone: what BER takes in several forms must not be compared by bytes.
 */
import { concatBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';

/** Identifier octets of what an envelope is made of. */
export const BER_TAG = {
  integer: 0x02,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  sequence: 0x30,
  set: 0x31,
  /** `[0]` and `[1]`, primitive and constructed. */
  context0: 0x80,
  context0Constructed: 0xa0,
  context1Constructed: 0xa1,
} as const;

/** One item: a primitive one has content, a constructed one has items. Content is a view into what was read. */
export interface BerItem {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly items: readonly BerItem[];
}

const CONSTRUCTED = 0x20;
const INDEFINITE = 0x80;
const MAX_DEPTH = 16;
const MAX_ITEMS = 512;
const MAX_LENGTH_BYTES = 4;
const EMPTY = new Uint8Array(0);

const refuse = (why: string): KmsError => new KmsError('REQUEST_INVALID', `not BER: ${why}`);

/**
 * Reads exactly one item and all that is inside.
 *
 * @param maxBytes - Longest input.
 * @throws {@link KmsError} `REQUEST_INVALID` for anything else: bytes after it, nesting deeper than 16, over 512 items.
 */
export function readBer(bytes: Uint8Array, maxBytes: number): BerItem {
  if (bytes.length > maxBytes) throw refuse(`more than ${maxBytes} bytes`);
  const cursor: Cursor = { bytes, at: 0, items: 0 };
  const item = readItem(cursor, bytes.length, 1);
  if (item === undefined || cursor.at !== bytes.length) throw refuse('bytes after the item');
  return item;
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
  items: number;
}

/** Reads the item at the cursor, which must end by `end`; undefined for the two zero bytes that end an indefinite length. */
function readItem(cursor: Cursor, end: number, depth: number): BerItem | undefined {
  if (depth > MAX_DEPTH) throw refuse('nested too deeply');
  cursor.items += 1;
  if (cursor.items > MAX_ITEMS) throw refuse('too many items');
  const tag = next(cursor, end);
  if ((tag & 0x1f) === 0x1f) throw refuse('a tag of several bytes');
  const length = readLength(cursor, end);
  if (tag === 0) {
    if (length !== 0) throw refuse('an end of contents with a content');
    return undefined;
  }
  const isConstructed = (tag & CONSTRUCTED) !== 0;
  if (length === 'indefinite') {
    if (!isConstructed) throw refuse('a primitive item of indefinite length');
    return { tag, content: EMPTY, items: readUntilEnd(cursor, end, depth) };
  }
  const itemEnd = cursor.at + length;
  if (itemEnd > end) throw refuse('a length beyond the end');
  if (isConstructed) return { tag, content: EMPTY, items: readWithin(cursor, itemEnd, depth) };
  const content = cursor.bytes.subarray(cursor.at, itemEnd);
  cursor.at = itemEnd;
  return { tag, content, items: [] };
}

function readUntilEnd(cursor: Cursor, end: number, depth: number): BerItem[] {
  const items: BerItem[] = [];
  for (;;) {
    const item = readItem(cursor, end, depth + 1);
    if (item === undefined) return items;
    items.push(item);
  }
}

function readWithin(cursor: Cursor, end: number, depth: number): BerItem[] {
  const items: BerItem[] = [];
  while (cursor.at < end) {
    const item = readItem(cursor, end, depth + 1);
    if (item === undefined) throw refuse('an end of contents where none belongs');
    items.push(item);
  }
  return items;
}

function readLength(cursor: Cursor, end: number): number | 'indefinite' {
  const first = next(cursor, end);
  if (first < INDEFINITE) return first;
  if (first === INDEFINITE) return 'indefinite';
  const size = first & 0x7f;
  if (size > MAX_LENGTH_BYTES) throw refuse('a length of too many bytes');
  let length = 0;
  for (let i = 0; i < size; i++) length = length * 256 + next(cursor, end);
  return length;
}

function next(cursor: Cursor, end: number): number {
  const byte = cursor.at < end ? cursor.bytes[cursor.at] : undefined;
  if (byte === undefined) throw refuse('it ends too early');
  cursor.at += 1;
  return byte;
}

/** Returns one item of definite, shortest length. */
export function encodeDefinite(tag: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const content = concatBytes(...parts);
  return concatBytes(Uint8Array.of(tag, ...lengthBytes(content.length)), content);
}

/** Returns one constructed item of indefinite length. */
export function encodeIndefinite(tag: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concatBytes(Uint8Array.of(tag, INDEFINITE), ...parts, Uint8Array.of(0, 0));
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return [0x80 | digits.length, ...digits];
}
