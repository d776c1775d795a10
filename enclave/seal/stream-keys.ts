/** What a data key is made into: the stream's key and a public commitment, so that no other key opens the object. SECRET: keys. */
import { hkdfSync } from 'node:crypto';
import { HASH_BYTES } from './sealed-head.ts';
import { STREAM_KEY_BYTES } from './secret-stream.ts';

/** Keys out of one data key. */
export interface StreamKeys {
  /** SECRET: the caller wipes it. */
  readonly streamKey: Uint8Array<ArrayBuffer>;
  /** Public: stands in the signed head, because the stream alone opens under more than one key for who looks for them. */
  readonly commitment: Uint8Array<ArrayBuffer>;
}

const INFO = 'ARCASEAL keys, format 1';

/** Derives both, and wipes the data key: HKDF-SHA-256 without salt, 64 bytes; the first half is the commitment. */
export function deriveStreamKeys(dataKey: Uint8Array): StreamKeys {
  const both = new Uint8Array(hkdfSync('sha256', dataKey, new Uint8Array(), INFO, HASH_BYTES + STREAM_KEY_BYTES));
  const keys = { commitment: both.slice(0, HASH_BYTES), streamKey: both.slice(HASH_BYTES) };
  both.fill(0);
  dataKey.fill(0);
  return keys;
}
