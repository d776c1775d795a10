/**
 * A reader of DER (X.690) that takes nothing but DER: one-byte tags, definite lengths in their shortest form,
 * no byte left over. Readers of BER (asn1js among them) take many encodings for one meaning, and what two readers
 * understand differently is how certificate checks are got round. Runs in a browser too.
 */
import { KmsError } from '../../common/errors.ts';
import { DER_TAG } from './der-encode.ts';

/** One item: its identifier octet, the whole of it and what is inside; both are views into what was read. */
export interface DerItem {
  readonly tag: number;
  readonly whole: Uint8Array;
  readonly content: Uint8Array;
}

const refuse = (why: string): KmsError => new KmsError('REQUEST_INVALID', `not DER: ${why}`);

/**
 * Reads exactly one item with the given identifier octet.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything else, bytes after it included.
 */
export function readDer(bytes: Uint8Array, tag: number): DerItem {
  const item = readItem(bytes, 0);
  if (item.whole.length !== bytes.length) throw refuse('bytes after the item');
  return expectTag(item, tag);
}

/**
 * Reads the items inside an item, at most `limit`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if they are not DER to the last byte, or are too many.
 */
export function readItems(parent: DerItem, limit = 32): DerItem[] {
  const items: DerItem[] = [];
  for (let at = 0; at < parent.content.length; ) {
    if (items.length === limit) throw refuse(`more than ${limit} items`);
    const item = readItem(parent.content, at);
    items.push(item);
    at += item.whole.length;
  }
  return items;
}

/** Returns the item if it is there with the given identifier octet. @throws {@link KmsError} `REQUEST_INVALID`. */
export function expectTag(item: DerItem | undefined, tag: number): DerItem {
  if (item === undefined) throw refuse('an item is missing');
  if (item.tag !== tag) throw refuse(`tag 0x${item.tag.toString(16)} where 0x${tag.toString(16)} belongs`);
  return item;
}

/** Reads the item that begins at `at`. */
function readItem(bytes: Uint8Array, at: number): DerItem {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw refuse('it ends too early');
  if ((tag & 0x1f) === 0x1f) throw refuse('a tag of several bytes');
  let start = at + 2;
  let length = first;
  if (first >= 0x80) {
    const size = first & 0x7f;
    if (size === 0 || size > 3) throw refuse('a length that is indefinite or too large');
    length = 0;
    for (let i = 0; i < size; i++) length = length * 256 + (bytes[start + i] ?? 0);
    start += size;
    if (length < (size === 1 ? 0x80 : 256 ** (size - 1))) throw refuse('a length longer than needed');
  }
  if (start + length > bytes.length) throw refuse('a length beyond the end');
  return { tag, whole: bytes.subarray(at, start + length), content: bytes.subarray(start, start + length) };
}

/** Reads TRUE or FALSE. @throws {@link KmsError} `REQUEST_INVALID`. */
export function readBoolean(item: DerItem | undefined): boolean {
  const { content } = expectTag(item, DER_TAG.boolean);
  if (content.length === 1 && content[0] === 0xff) return true;
  if (content.length === 1 && content[0] === 0) return false;
  throw refuse('a boolean that is neither true nor false');
}

/** Returns the bytes of an INTEGER that is not negative, without a leading zero. @throws {@link KmsError} `REQUEST_INVALID`. */
export function readUnsigned(item: DerItem | undefined): Uint8Array {
  const { content } = expectTag(item, DER_TAG.integer);
  const [first, second] = content;
  if (first === undefined) throw refuse('an empty integer');
  if (first >= 0x80) throw refuse('a negative integer');
  if (first === 0 && second !== undefined && second < 0x80) throw refuse('an integer longer than needed');
  return first === 0 ? content.subarray(1) : content;
}

/** Returns the dotted form of an OBJECT IDENTIFIER. @throws {@link KmsError} `REQUEST_INVALID`. */
export function readOid(item: DerItem | undefined): string {
  const { content } = expectTag(item, DER_TAG.objectIdentifier);
  const arcs: number[] = [];
  let arc = 0;
  let fresh = true;
  for (const byte of content) {
    if (fresh && byte === 0x80) throw refuse('an object identifier longer than needed');
    if (arc > 2 ** 40) throw refuse('an object identifier with too large a part');
    arc = arc * 128 + (byte & 0x7f);
    fresh = byte < 0x80;
    if (fresh) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [head] = arcs;
  if (!fresh || head === undefined) throw refuse('an object identifier that is cut off');
  const root = Math.min(2, Math.floor(head / 40));
  return [root, head - 40 * root, ...arcs.slice(1)].join('.');
}

/** Returns the content of a BIT STRING of whole bytes. @throws {@link KmsError} `REQUEST_INVALID`. */
export function readWholeBits(item: DerItem | undefined): Uint8Array {
  const { content } = expectTag(item, DER_TAG.bitString);
  if (content[0] !== 0) throw refuse('a bit string that is not whole bytes');
  return content.subarray(1);
}

/** Returns which bits of a short BIT STRING are set (bit 0 first). @throws {@link KmsError} `REQUEST_INVALID`. */
export function readNamedBits(item: DerItem | undefined): ReadonlySet<number> {
  const { content } = expectTag(item, DER_TAG.bitString);
  const unused = content[0];
  const last = content[content.length - 1];
  if (unused === undefined || last === undefined || unused > 7 || content.length > 3) throw refuse('a bad bit string');
  if (content.length === 1 ? unused !== 0 : ((last >> unused) & 1) === 0 || (last & ((1 << unused) - 1)) !== 0) {
    throw refuse('a bit string longer than needed');
  }
  const bits = new Set<number>();
  for (let bit = 0; bit < (content.length - 1) * 8; bit++) {
    if (((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0) bits.add(bit);
  }
  return bits;
}

/** Returns a UTCTime or GeneralizedTime in milliseconds since 1970. @throws {@link KmsError} `REQUEST_INVALID`. */
export function readTime(item: DerItem | undefined): number {
  const utc = item?.tag === DER_TAG.utcTime;
  const { content } = expectTag(item, utc ? DER_TAG.utcTime : DER_TAG.generalizedTime);
  const text = String.fromCharCode(...content.subarray(0, 16));
  const digits = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(utc ? (text < '5' ? '20' : '19') + text : text);
  if (digits === null) throw refuse('a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ');
  const [year, month, day, hour, minute, second] = digits.slice(1).map(Number);
  const iso = `${digits[1]}-${digits[2]}-${digits[3]}T${digits[4]}:${digits[5]}:${digits[6]}.000Z`;
  const atMs = Date.UTC(year ?? 0, (month ?? 0) - 1, day, hour, minute, second);
  // A 31st of June or a 25th hour would roll over to another moment, which then prints differently.
  if (new Date(atMs).toISOString() !== iso) throw refuse('a time that does not exist');
  return atMs;
}
