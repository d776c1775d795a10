/**
 * Where a CBOR item ends, without reading it: an NV index has no length of its own, and behind the answer stands what
 * was there before. Whoever reads the item judges it; this only finds its end.
 */
import { KmsError } from '../../common/errors.ts';

const MAX_DEPTH = 8;
const BREAK = 0xff;

/**
 * Returns the length of the item that `bytes` begins with, or undefined if it does not end within them.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` if no item begins so, or it is nested deeper than 8.
 */
export function cborItemBytes(bytes: Uint8Array): number | undefined {
  const end = skipItem(bytes, 0, 0);
  return end === undefined || end > bytes.length ? undefined : end;
}

/** The offset behind the item at `at`; it may lie behind the bytes. */
function skipItem(bytes: Uint8Array, at: number, depth: number): number | undefined {
  const initial = bytes[at];
  if (initial === undefined) return undefined;
  if (depth > MAX_DEPTH) throw noItem();
  const major = initial >> 5;
  const short = initial & 0x1f;
  if (short === 31) return skipIndefinite(bytes, at + 1, major, depth);
  if (short > 27) throw noItem();
  const extra = short < 24 ? 0 : 2 ** (short - 24);
  if (at + 1 + extra > bytes.length) return undefined;
  const value = short < 24 ? short : bytes.subarray(at + 1, at + 1 + extra).reduce((sum, byte) => sum * 256 + byte, 0);
  const next = at + 1 + extra;
  switch (major) {
    case 2:
    case 3:
      return next + value;
    case 4:
      return skipItems(bytes, next, value, depth);
    case 5:
      return skipItems(bytes, next, 2 * value, depth);
    case 6:
      return skipItem(bytes, next, depth + 1);
    default:
      return next;
  }
}

/** Each item takes a byte at least, so the count cannot make this run longer than the bytes last. */
function skipItems(bytes: Uint8Array, start: number, count: number, depth: number): number | undefined {
  let at: number | undefined = start;
  for (let i = 0; i < count && at !== undefined; i++) at = skipItem(bytes, at, depth + 1);
  return at;
}

function skipIndefinite(bytes: Uint8Array, start: number, major: number, depth: number): number | undefined {
  if (major < 2 || major > 5) throw noItem();
  let at: number | undefined = start;
  while (at !== undefined && bytes[at] !== BREAK) at = skipItem(bytes, at, depth + 1);
  return at === undefined ? undefined : at + 1;
}

function noItem(): KmsError {
  return new KmsError('ATTESTATION_INVALID', 'the TPM gave an answer that is no CBOR');
}
