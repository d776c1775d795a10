/**
 * Reads the file names and contents of a RAM disk: cpio archives of form newc, one after the other, plain or compressed
 * by gzip. Contents are views. Hostile input: sizes are compared with what is there before anything is allocated.
 */
import { gunzipSync } from 'node:zlib';
import { KmsError } from '../../common/errors.ts';

/** One entry of an archive. */
export interface CpioEntry {
  readonly path: string;
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number;
  readonly data: Uint8Array;
}

const MAGIC = '070701';
const HEADER_BYTES = 110;
const TRAILER = 'TRAILER!!!';
const MAX_PATH_BYTES = 4096;
const MAX_ENTRIES = 100_000;
/** A RAM disk has to fit into an enclave; what expands beyond is an attack. */
const MAX_EXPANDED_BYTES = 1024 * 1024 * 1024;

/**
 * Returns the entries of a RAM disk in their order.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything that is no such archive, and for one cut off.
 */
export function readCpio(ramdisk: Uint8Array): readonly CpioEntry[] {
  const archive = ramdisk[0] === 0x1f && ramdisk[1] === 0x8b ? gunzip(ramdisk) : ramdisk;
  const entries: CpioEntry[] = [];
  let at = 0;
  while (at < archive.length) {
    // Zeros fill up behind the end of an archive.
    if (archive[at] === 0) {
      at += 1;
      continue;
    }
    const { entry, next } = readEntry(archive, at);
    if (entry.path !== TRAILER) entries.push(entry);
    if (entries.length > MAX_ENTRIES) throw malformed(`more than ${MAX_ENTRIES} entries`);
    at = next;
  }
  return entries;
}

function readEntry(archive: Uint8Array, at: number): { readonly entry: CpioEntry; readonly next: number } {
  const header = Buffer.from(archive.buffer, archive.byteOffset + at, Math.min(HEADER_BYTES, archive.length - at));
  const text = header.toString('latin1');
  if (text.length < HEADER_BYTES || !text.startsWith(MAGIC)) throw malformed(`no entry begins at byte ${at}`);
  const field = (index: number): number => {
    const digits = text.slice(MAGIC.length + 8 * index, MAGIC.length + 8 * (index + 1));
    if (!/^[0-9A-Fa-f]{8}$/.test(digits)) throw malformed(`the entry at byte ${at} has a field that is no number`);
    return Number.parseInt(digits, 16);
  };
  const [mode, dataBytes, pathBytes] = [field(1), field(6), field(11)];
  if (pathBytes < 1 || pathBytes > MAX_PATH_BYTES) throw malformed(`the entry at byte ${at} has no name that fits`);
  const dataAt = aligned(at + HEADER_BYTES + pathBytes);
  if (dataAt + dataBytes > archive.length) throw malformed(`the entry at byte ${at} is cut`);
  const path = Buffer.from(archive.subarray(at + HEADER_BYTES, at + HEADER_BYTES + pathBytes - 1)).toString('utf8');
  return {
    entry: { path, mode, data: archive.subarray(dataAt, dataAt + dataBytes) },
    next: aligned(dataAt + dataBytes),
  };
}

const aligned = (offset: number): number => (offset + 3) & ~3;

function gunzip(ramdisk: Uint8Array): Uint8Array {
  try {
    return gunzipSync(ramdisk, { maxOutputLength: MAX_EXPANDED_BYTES });
  } catch (error) {
    throw malformed('what gzip has packed cannot be unpacked, or is too large', error);
  }
}

function malformed(why: string, cause?: unknown): KmsError {
  return new KmsError('REQUEST_INVALID', `no RAM disk of form newc: ${why}`, {}, cause);
}
