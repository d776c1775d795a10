/**
 * Private object of a decompression key: its parameters and metadata. Nothing in it is secret; it lies in the private
 * vault because its presence is what makes the key real. Format: docs/formats/private-objects.md.
 */
import { KmsError } from '../../common/errors.ts';
import type { ParamsName } from '../../native/engine/index.ts';
import { decodeKeyGenMetadata, encodeKeyGenMetadata, type KeyGenMetadata } from '../../wire/metadata.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';

/** See the file comment. */
export interface DecompressionKeyInfo {
  readonly params: ParamsName;
  readonly metadata: KeyGenMetadata;
}

const TYPE_NAME = 'arca::DecompressionKeyInfo';
const VERSION = 0;
/** Numbers of the parameter sets, as in requests. */
const PARAMS: readonly ParamsName[] = ['default', 'test'];

/** Encodes the object. */
export function encodeDecompressionKeyInfo({ params, metadata }: DecompressionKeyInfo): Uint8Array {
  const encoded = encodeKeyGenMetadata(metadata);
  return encodeSafe(TYPE_NAME, 4 + 4 + 8 + encoded.byteLength, (writer) =>
    writer.u32(VERSION).u32(PARAMS.indexOf(params)).vec(encoded),
  );
}

/** Decodes what {@link encodeDecompressionKeyInfo} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeDecompressionKeyInfo(bytes: Uint8Array): DecompressionKeyInfo {
  return decodeSafe(bytes, TYPE_NAME, (reader) => {
    reader.expectU32(VERSION, 'DecompressionKeyInfo version');
    const params = PARAMS[reader.u32()];
    if (!params) throw new KmsError('REQUEST_INVALID', 'unknown parameter set');
    return { params, metadata: decodeKeyGenMetadata(reader.vec()) };
  });
}
