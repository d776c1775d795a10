/**
 * The header that tfhe-rs puts before every stored object, and the reading and writing of whole objects with it.
 *
 * Only formats of the service itself are read and written here; FHE objects are the native part's business.
 */
import { KmsError } from '../common/errors.ts';
import { BincodeReader, BincodeWriter } from './bincode.ts';

const HEADER_VERSION = '0.5';
const VERSIONING_SCHEME = '0.1';
const VERSIONED = 0;

/** Bytes of the header without the type name itself. */
const HEADER_BYTES = 8 + HEADER_VERSION.length + 4 + 8 + VERSIONING_SCHEME.length + 8;

/**
 * Returns a safe-serialized object: header, then what `body` writes.
 *
 * @param bodyBytes - Size of the body. When it is exact, nothing is copied and the result owns its ArrayBuffer, as
 *   secrets need.
 */
export function encodeSafe(typeName: string, bodyBytes: number, body: (writer: BincodeWriter) => void): Uint8Array {
  const writer = new BincodeWriter(HEADER_BYTES + typeName.length + bodyBytes)
    .string(HEADER_VERSION)
    .u32(VERSIONED)
    .string(VERSIONING_SCHEME)
    .string(typeName);
  body(writer);
  return writer.finish();
}

/**
 * Reads a safe-serialized object of one type, to its last byte.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for another type or version, cut data, or bytes after the end.
 */
export function decodeSafe<T>(bytes: Uint8Array, typeName: string, body: (reader: BincodeReader) => T): T {
  const reader = new BincodeReader(bytes);
  if (reader.string() !== HEADER_VERSION) throw invalid(typeName, `serialization version ${HEADER_VERSION}`);
  reader.expectU32(VERSIONED, 'versioning mode');
  if (reader.string() !== VERSIONING_SCHEME) throw invalid(typeName, `versioning scheme ${VERSIONING_SCHEME}`);
  if (reader.string() !== typeName) throw invalid(typeName, `type ${typeName}`);
  const value = body(reader);
  reader.end();
  return value;
}

function invalid(typeName: string, wanted: string): KmsError {
  return new KmsError('REQUEST_INVALID', `a stored ${typeName} must have ${wanted}`, { typeName });
}
