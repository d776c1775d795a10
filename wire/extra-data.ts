/**
 * `extra_data` of requests: signed as it came, never rejected. Recognised shapes are v0 (empty or `00`),
 * v1 (`01` ‖ context) and v2 (`02` ‖ context ‖ epoch).
 */
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, ID_BYTES, idBytes } from './ids.ts';

const EMPTY = new Uint8Array(0);

/**
 * Returns the bytes to sign and to echo for a decryption.
 *
 * @param treatV0AsEmpty - Signs nothing in place of a single zero byte: published 0.12 clients verify with empty
 *   extra data while their relayer sends `00`.
 */
export function effectiveExtraData(extraData: Uint8Array, treatV0AsEmpty: boolean): Uint8Array {
  return treatV0AsEmpty && extraData.byteLength === 1 && extraData[0] === 0 ? EMPTY : extraData;
}

/** Returns the v2 form for a context and an epoch. */
export function encodeExtraDataV2(contextId = DEFAULT_CONTEXT_ID, epochId = DEFAULT_EPOCH_ID): Uint8Array {
  const bytes = new Uint8Array(1 + 2 * ID_BYTES);
  bytes[0] = 2;
  bytes.set(idBytes(contextId), 1);
  bytes.set(idBytes(epochId), 1 + ID_BYTES);
  return bytes;
}
