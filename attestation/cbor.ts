/**
 * CBOR (RFC 8949), strict both ways: what is signed or hashed by us is written in the core deterministic
 * encoding (§4.2.1), and what strangers send is read in one pass that bounds size, depth and every length
 * before it allocates. Nothing secret passes here. Runs in a browser too: no `node:` import.
 */
import { KmsError } from '../common/errors.ts';

/** A key of a map: an integer or text, nothing else. */
export type CborKey = number | bigint | string;

/** What {@link encodeCanonical} takes and {@link decodeStrict} gives; integers are numbers where those are exact. */
export type CborValue = CborKey | boolean | null | Uint8Array | readonly CborValue[] | ReadonlyMap<CborKey, CborValue>;

/** Bounds and leniency of {@link decodeStrict}. */
export interface DecodeOptions {
  /** Most bytes of the whole item; checked before anything is read. */
  readonly maxBytes: number;
  /** Most containers inside each other; a bare integer has depth 0. */
  readonly maxDepth: number;
  /** Maps and arrays of indefinite length are read too (strings of indefinite length never). */
  readonly allowIndefinite?: boolean;
  /** Only the one encoding that {@link encodeCanonical} would write is read: for what is signed or hashed. */
  readonly canonical?: boolean;
}

const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;
const BREAK = 0xff;
const INDEFINITE = 31;
const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const refuse = (why: string): KmsError => new KmsError('REQUEST_INVALID', `not strict CBOR: ${why}`);

/**
 * Returns the one core deterministic encoding of a value: shortest heads, keys sorted by their encoded bytes,
 * definite lengths.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for a number that is no safe integer, an integer beyond 64 bits, a
 *   text with lone surrogates, or two keys that encode alike (1 and 1n).
 * @example
 * encodeCanonical(['a', 1, null]); // 83 61 61 01 f6
 */
export function encodeCanonical(value: CborValue): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  writeValue(parts, value);
  return concatBytes(parts);
}

/** Returns the given byte strings one after the other, in new memory. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** Appends one value's deterministic encoding. */
function writeValue(parts: Uint8Array[], value: CborValue): void {
  if (value === null) parts.push(Uint8Array.of(0xf6));
  else if (typeof value === 'boolean') parts.push(Uint8Array.of(value ? 0xf5 : 0xf4));
  else if (typeof value === 'number' || typeof value === 'bigint') writeInteger(parts, value);
  else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw refuse('text with a lone surrogate');
    const bytes = utf8Encoder.encode(value);
    parts.push(head(3, bytes.length), bytes);
  } else if (value instanceof Uint8Array) parts.push(head(2, value.length), value);
  else if (isMap(value)) writeMap(parts, value);
  else if (Array.isArray(value)) {
    parts.push(head(4, value.length));
    for (const item of value) writeValue(parts, item);
  } else throw refuse(`a ${typeof value} has no encoding`);
}

/** Appends a map with its keys in bytewise order of their encodings. */
function writeMap(parts: Uint8Array[], map: ReadonlyMap<CborKey, CborValue>): void {
  const entries = [...map].map(([key, value]) => ({ key: encodeCanonical(key), value }));
  entries.sort((a, b) => compareBytes(a.key, b.key));
  parts.push(head(5, entries.length));
  for (const [index, { key, value }] of entries.entries()) {
    const before = entries[index - 1];
    if (before !== undefined && compareBytes(before.key, key) === 0) throw refuse('two keys that encode alike');
    parts.push(key);
    writeValue(parts, value);
  }
}

/** Appends an integer of up to 64 bits and a sign. */
function writeInteger(parts: Uint8Array[], value: number | bigint): void {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw refuse('a number that is no safe integer');
  const big = BigInt(value);
  const magnitude = big < 0n ? -1n - big : big;
  if (magnitude > MAX_UINT64) throw refuse('an integer beyond 64 bits');
  parts.push(head(big < 0n ? 1 : 0, magnitude));
}

/** Returns the shortest head of a major type and its argument. */
function head(major: number, argument: number | bigint): Uint8Array {
  const first = major << 5;
  if (argument < 24) return Uint8Array.of(first | Number(argument));
  const size = argument < 0x100 ? 1 : argument < 0x1_0000 ? 2 : argument < 0x1_0000_0000 ? 4 : 8;
  const out = new Uint8Array(1 + size);
  out[0] = first | (24 + Math.log2(size));
  let rest = BigInt(argument);
  for (let at = size; at > 0; at--) {
    out[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}

/**
 * Reads exactly one item and nothing after it.
 *
 * Refused always: duplicate keys, keys that are neither integers nor text, heads that are longer than needed,
 * tags, floats, `undefined` and other simple values, strings of indefinite length, text that is not UTF-8.
 * Byte strings are views into `bytes`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` that says what was met and at which byte.
 */
export function decodeStrict(bytes: Uint8Array, options: DecodeOptions): CborValue {
  if (bytes.length > options.maxBytes) throw refuse(`${bytes.length} bytes, at most ${options.maxBytes}`);
  const reader: Reader = {
    bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
    at: 0,
    options,
    indefinite: options.allowIndefinite === true && options.canonical !== true,
  };
  const value = readValue(reader, 0);
  if (reader.at !== bytes.length) throw refuse(`bytes after the item, at byte ${reader.at}`);
  return value;
}

/** Where one decoding stands. */
interface Reader {
  readonly bytes: Uint8Array;
  at: number;
  readonly options: DecodeOptions;
  readonly indefinite: boolean;
}

/** Reads one item at a depth. */
function readValue(reader: Reader, depth: number): CborValue {
  const start = reader.at;
  const first = takeByte(reader);
  const major = first >> 5;
  const info = first & 0x1f;
  if (major === 6) throw refuse(`a tag at byte ${start}`);
  if (major === 7) return readSimple(info, start);
  if (info === INDEFINITE) {
    if (major < 4) throw refuse(`a string or integer of indefinite length at byte ${start}`);
    if (!reader.indefinite) throw refuse(`a container of indefinite length at byte ${start}`);
    return major === 4 ? readArray(reader, undefined, depth + 1) : readMap(reader, undefined, depth + 1);
  }
  const argument = readArgument(reader, info, start);
  if (major === 0) return argument;
  if (major === 1)
    return typeof argument === 'number' && argument < Number.MAX_SAFE_INTEGER ? -1 - argument : -1n - BigInt(argument);
  const left = reader.bytes.length - reader.at;
  // Every item of a container takes a byte at least, so no length beyond this is ever allocated for.
  if (argument > (major === 5 ? left / 2 : left)) throw refuse(`a length beyond the end, at byte ${start}`);
  const length = Number(argument);
  if (major === 4) return readArray(reader, length, depth + 1);
  if (major === 5) return readMap(reader, length, depth + 1);
  const content = reader.bytes.subarray(reader.at, reader.at + length);
  reader.at += length;
  if (major === 2) return content;
  try {
    return utf8Decoder.decode(content);
  } catch {
    throw refuse(`text that is not UTF-8 at byte ${start}`);
  }
}

/** Reads false, true or null; nothing else of major type 7 is accepted. */
function readSimple(info: number, start: number): boolean | null {
  if (info === 20) return false;
  if (info === 21) return true;
  if (info === 22) return null;
  throw refuse(`a float, simple value or stray break at byte ${start}`);
}

/** Reads `length` items, or items up to a break. */
function readArray(reader: Reader, length: number | undefined, depth: number): CborValue[] {
  checkDepth(reader, depth);
  const items: CborValue[] = [];
  while (length === undefined ? !atBreak(reader) : items.length < length) items.push(readValue(reader, depth));
  return items;
}

/** Reads `length` pairs, or pairs up to a break. */
function readMap(reader: Reader, length: number | undefined, depth: number): Map<CborKey, CborValue> {
  checkDepth(reader, depth);
  const map = new Map<CborKey, CborValue>();
  let lastKey: Uint8Array | undefined;
  while (length === undefined ? !atBreak(reader) : map.size < length) {
    const start = reader.at;
    const key = readValue(reader, depth);
    if (typeof key !== 'number' && typeof key !== 'bigint' && typeof key !== 'string') {
      throw refuse(`a key that is neither integer nor text at byte ${start}`);
    }
    if (map.has(key)) throw refuse(`a key twice, at byte ${start}`);
    const keyBytes = reader.bytes.subarray(start, reader.at);
    if (reader.options.canonical === true && lastKey !== undefined && compareBytes(lastKey, keyBytes) > 0) {
      throw refuse(`keys out of order at byte ${start}`);
    }
    lastKey = keyBytes;
    map.set(key, readValue(reader, depth));
  }
  return map;
}

/** Reads the argument of a head and refuses one that is longer than needed. */
function readArgument(reader: Reader, info: number, start: number): number | bigint {
  if (info < 24) return info;
  if (info > 27) throw refuse(`a reserved head at byte ${start}`);
  const size = 1 << (info - 24);
  let value = 0n;
  for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(takeByte(reader));
  const least = size === 1 ? 24n : 1n << BigInt(4 * size);
  if (value < least) throw refuse(`a head longer than needed at byte ${start}`);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** Returns the next byte. */
function takeByte(reader: Reader): number {
  const byte = reader.bytes[reader.at];
  if (byte === undefined) throw refuse('it ends too early');
  reader.at++;
  return byte;
}

/** Returns whether a break is next, and takes it. */
function atBreak(reader: Reader): boolean {
  if (reader.bytes[reader.at] !== BREAK) return false;
  reader.at++;
  return true;
}

function checkDepth(reader: Reader, depth: number): void {
  if (depth > reader.options.maxDepth) throw refuse(`nested deeper than ${reader.options.maxDepth}`);
}

/** `instanceof` alone does not narrow a readonly map. */
export function isMap(value: CborValue | undefined): value is ReadonlyMap<CborKey, CborValue> {
  return value instanceof Map;
}

/** Orders byte strings bytewise, a prefix before what extends it. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
