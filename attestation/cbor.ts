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
  const writer: Writer = { bytes: new Uint8Array(FIRST_BYTES), at: 0 };
  writeValue(writer, value);
  return writer.bytes.slice(0, writer.at);
}

/** One encoding under way: a buffer that grows, and where its next byte goes. */
interface Writer {
  bytes: Uint8Array<ArrayBuffer>;
  at: number;
}

/** Most of what we encode fits. */
const FIRST_BYTES = 512;

/** Makes room for `count` bytes and returns where they go. */
function reserve(writer: Writer, count: number): number {
  const { bytes, at } = writer;
  writer.at = at + count;
  if (writer.at > bytes.length) {
    writer.bytes = new Uint8Array(Math.max(writer.at, 2 * bytes.length));
    writer.bytes.set(bytes);
  }
  return at;
}

/** Appends bytes as they are. */
function writeBytes(writer: Writer, bytes: Uint8Array): void {
  const at = reserve(writer, bytes.length);
  writer.bytes.set(bytes, at);
}

/** Appends one value's deterministic encoding. */
function writeValue(writer: Writer, value: CborValue): void {
  if (value === null) writeHead(writer, 7, 22);
  else if (typeof value === 'boolean') writeHead(writer, 7, value ? 21 : 20);
  else if (typeof value === 'number' || typeof value === 'bigint') writeInteger(writer, value);
  else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw refuse('text with a lone surrogate');
    const bytes = utf8Encoder.encode(value);
    writeHead(writer, 3, bytes.length);
    writeBytes(writer, bytes);
  } else if (value instanceof Uint8Array) {
    writeHead(writer, 2, value.length);
    writeBytes(writer, value);
  } else if (isMap(value)) writeMap(writer, value);
  else if (Array.isArray(value)) {
    writeHead(writer, 4, value.length);
    for (const item of value) writeValue(writer, item);
  } else throw refuse(`a ${typeof value} has no encoding`);
}

/** Appends a map with its keys in bytewise order of their encodings. */
function writeMap(writer: Writer, map: ReadonlyMap<CborKey, CborValue>): void {
  const entries = [...map].map(([key, value]) => ({ key: encodeCanonical(key), value }));
  entries.sort((a, b) => compareBytes(a.key, b.key));
  writeHead(writer, 5, entries.length);
  for (const [index, { key, value }] of entries.entries()) {
    const before = entries[index - 1];
    if (before !== undefined && compareBytes(before.key, key) === 0) throw refuse('two keys that encode alike');
    writeBytes(writer, key);
    writeValue(writer, value);
  }
}

/** Appends an integer of up to 64 bits and a sign. */
function writeInteger(writer: Writer, value: number | bigint): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw refuse('a number that is no safe integer');
    writeHead(writer, value < 0 ? 1 : 0, value < 0 ? -1 - value : value);
    return;
  }
  const magnitude = value < 0n ? -1n - value : value;
  if (magnitude > MAX_UINT64) throw refuse('an integer beyond 64 bits');
  const isSmall = magnitude <= BigInt(Number.MAX_SAFE_INTEGER);
  writeHead(writer, value < 0n ? 1 : 0, isSmall ? Number(magnitude) : magnitude);
}

/** Appends the shortest head of a major type and its argument; a bigint is one that no number holds. */
function writeHead(writer: Writer, major: number, argument: number | bigint): void {
  const first = major << 5;
  if (argument < 24) {
    const at = reserve(writer, 1);
    writer.bytes[at] = first | Number(argument);
    return;
  }
  const size = argument < 0x100 ? 1 : argument < 0x1_0000 ? 2 : argument < 0x1_0000_0000 ? 4 : 8;
  const at = reserve(writer, 1 + size);
  const { bytes } = writer;
  bytes[at] = first | (24 + Math.log2(size));
  if (typeof argument === 'bigint') {
    new DataView(bytes.buffer).setBigUint64(at + 1, argument);
    return;
  }
  let rest = argument;
  for (let i = size; i > 0; i--) {
    bytes[at + i] = rest % 0x100;
    rest = Math.floor(rest / 0x100);
  }
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
