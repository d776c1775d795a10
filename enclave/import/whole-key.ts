/**
 * Reads a whole client key that another system made, as the tfhe library serializes it.
 *
 * Everything here is secret. The bytes pass through JavaScript in ArrayBuffers of their own that are wiped; the key stays
 * in native memory. Format of the object around it: docs/formats/private-objects.md.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import { FheKey } from '../../native/engine/index.ts';
import { encodeSafe } from '../../wire/safe-serialize.ts';

/** Largest file that is read; the real one has 221 kB. */
export const MAX_CLIENT_KEY_BYTES = 4 * 1024 * 1024;

const TYPE_NAME = 'arca::FhePrivateKey';
const VERSION = 0;
/** Numbers of the parameter sets, as in requests; what they are called, for people. */
const PARAMS = [0, 1] as const;
const IMPORTED = 2;
const MAX_TAG_BYTES = 64;
const LENGTH_BYTES = 8;
/** Five version and number fields, and the lengths of tag, key and metadata. */
const FIXED_BYTES = 5 * 4 + 3 * LENGTH_BYTES;

/**
 * Returns the key, whose provenance is then `imported`. Its parameters are those that fit it, its tag is its own.
 *
 * @param clientKey - Safe serialization of `tfhe::ClientKey`. The caller wipes it.
 * @throws KmsError `KEY_INVALID` saying what is wrong under each parameter set.
 */
export function readWholeKey(clientKey: Uint8Array): FheKey {
  const reasons = new Set<string>();
  for (const params of PARAMS) {
    for (const tag of possibleTags(clientKey)) {
      const object = wrap(clientKey, params, tag);
      try {
        return FheKey.fromBytes(object);
      } catch (error) {
        if (!isKmsError(error, 'KEY_INVALID')) throw error;
        reasons.add(error.message);
      } finally {
        object.fill(0);
      }
    }
  }
  const why = [...reasons].join('; ') || 'it has no tag at its end';
  throw new KmsError('KEY_INVALID', `not a client key of the parameters default or test: ${why}`);
}

/** The tag is the last field: a length and so many bytes. Which of few it is, the library knows when it has read the key. */
function possibleTags(clientKey: Uint8Array): Uint8Array[] {
  const view = new DataView(clientKey.buffer, clientKey.byteOffset, clientKey.byteLength);
  const tags: Uint8Array[] = [];
  for (let size = 0; size <= MAX_TAG_BYTES; size++) {
    const at = clientKey.byteLength - size - LENGTH_BYTES;
    if (at >= 0 && view.getBigUint64(at, true) === BigInt(size)) tags.push(clientKey.subarray(at + LENGTH_BYTES));
  }
  return tags;
}

function wrap(clientKey: Uint8Array, params: number, tag: Uint8Array): Uint8Array {
  return encodeSafe(TYPE_NAME, FIXED_BYTES + tag.byteLength + clientKey.byteLength, (writer) =>
    writer
      .u32(VERSION)
      .u32(VERSION)
      .u32(params)
      .u32(VERSION)
      .u32(IMPORTED)
      .vec(tag)
      .vec(clientKey)
      .vec(new Uint8Array()),
  );
}
