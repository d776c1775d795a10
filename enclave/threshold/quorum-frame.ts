/**
 * Frames between engines of a quorum: what happened in one tick, as one row of entries.
 *
 * What is read here comes from a peer that may lie: every length is checked, and whatever is not exactly a frame is
 * refused whole. Format: docs/formats/quorum-frames.md.
 */
import { KmsError } from '../../common/errors.ts';
import type { RequestName } from './request-name.ts';

/** One thing that one engine tells another. Bytes of what was read are views into the frame. */
export type QuorumEntry =
  | { readonly what: 'announce'; readonly name: RequestName }
  /** Masked shares of all ciphertexts of a request, one after the other. */
  | { readonly what: 'shares'; readonly tag: Uint8Array; readonly shares: Uint8Array }
  /** The sender lacks the receiver's announcement, or its shares. */
  | { readonly what: 'want'; readonly digest: Uint8Array; readonly wanted: Wanted };

/** What can be asked for again. */
export type Wanted = 'announcement' | 'shares';

const VERSION = 1;
const ANNOUNCE = 1;
const SHARES = 2;
const WANT = 3;
const ID_BYTES = 32;
const DIGEST_BYTES = 32;
/** Of the digest, what names a request whose digest both sides know. */
const TAG_BYTES = 16;
const KINDS = ['public', 'user', 'zero'] as const;
const WANTED = ['announcement', 'shares'] as const;

/** Largest frame; with room left in the largest payload of a link. */
export const MAX_QUORUM_FRAME_BYTES = 768 * 1024;
/** Largest shares of one request: they go in one entry. */
export const MAX_SHARES_BYTES = MAX_QUORUM_FRAME_BYTES - 64;
/** Bytes before the entries. */
export const FRAME_HEADER_BYTES = 1;

/** Returns the tag of a request: the first 16 bytes of its digest. */
export function tagOf(digest: Uint8Array): Uint8Array {
  return digest.subarray(0, TAG_BYTES);
}

/** Writes one entry. */
export function encodeEntry(entry: QuorumEntry): Uint8Array {
  switch (entry.what) {
    case 'announce':
      return Buffer.concat([Uint8Array.of(ANNOUNCE, KINDS.indexOf(entry.name.kind)), entry.name.id, entry.name.digest]);
    case 'shares': {
      const head = Buffer.alloc(1 + TAG_BYTES + 4);
      head[0] = SHARES;
      head.set(entry.tag, 1);
      head.writeUInt32LE(entry.shares.byteLength, 1 + TAG_BYTES);
      return Buffer.concat([head, entry.shares]);
    }
    case 'want':
      return Buffer.concat([Uint8Array.of(WANT, WANTED.indexOf(entry.wanted)), entry.digest]);
  }
}

/** Puts encoded entries into one frame. */
export function encodeFrame(entries: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(VERSION), ...entries]);
}

/**
 * Reads a frame.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything that is no frame of this version.
 */
export function decodeFrame(frame: Uint8Array): QuorumEntry[] {
  if (frame.byteLength > MAX_QUORUM_FRAME_BYTES) throw broken('it is too long');
  const reader = new Reader(frame);
  if (reader.u8() !== VERSION) throw broken('its version is unknown');
  const entries: QuorumEntry[] = [];
  while (reader.left > 0) entries.push(readEntry(reader));
  if (entries.length === 0) throw broken('it is empty');
  return entries;
}

function readEntry(reader: Reader): QuorumEntry {
  switch (reader.u8()) {
    case ANNOUNCE: {
      const kind = reader.oneOf(KINDS);
      return { what: 'announce', name: { kind, id: reader.take(ID_BYTES), digest: reader.take(DIGEST_BYTES) } };
    }
    case SHARES: {
      const tag = reader.take(TAG_BYTES);
      return { what: 'shares', tag, shares: reader.take(reader.u32()) };
    }
    case WANT: {
      const wanted = reader.oneOf(WANTED);
      return { what: 'want', wanted, digest: reader.take(DIGEST_BYTES) };
    }
    default:
      throw broken('an entry is of no known kind');
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.byteLength - this.#at;
  }

  u8(): number {
    this.#need(1);
    return this.#view.getUint8(this.#at++);
  }

  u32(): number {
    this.#need(4);
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  take(sizeBytes: number): Uint8Array {
    this.#need(sizeBytes);
    this.#at += sizeBytes;
    return this.#bytes.subarray(this.#at - sizeBytes, this.#at);
  }

  oneOf<T>(values: readonly T[]): T {
    const value = values[this.u8()];
    if (value === undefined) throw broken('a number is out of range');
    return value;
  }

  #need(sizeBytes: number): void {
    if (this.left < sizeBytes) throw broken('it is cut');
  }
}

function broken(why: string): KmsError {
  return new KmsError('REQUEST_INVALID', `a frame of the quorum is malformed: ${why}`);
}
