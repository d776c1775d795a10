/**
 * Stored metadata of keys and CRSs: ids, digests, and the signatures that were handed out. Public data, kept in
 * private objects; on reading, what the engine wrote itself is still checked like a stranger's.
 */
import { KmsError } from '../common/errors.ts';
import { SigningSchemeType } from '../proto/gen/kms_pb.js';
import type { BincodeReader, BincodeWriter } from './bincode.ts';
import { ID_BYTES, idBytes, idFromBytes, type RequestId } from './ids.ts';
import { PUBLIC_DATA_TYPES } from './public-data.ts';
import { decodeSafe, encodeSafe } from './safe-serialize.ts';
import { type ObjectDigest, writeDigests } from './signed-payloads.ts';

/** A signature with its scheme. */
export interface SchemeSignature {
  readonly scheme: SigningSchemeType;
  readonly signature: Uint8Array;
}

/** What is known about a generated key. */
export interface KeyGenMetadata {
  readonly keyId: RequestId;
  readonly preprocessingId: RequestId;
  /** In the order of the types. */
  readonly keyDigests: readonly ObjectDigest[];
  readonly extraData: Uint8Array;
  readonly externalSignature: Uint8Array;
  readonly signatures: readonly SchemeSignature[];
}

/** What is known about a generated CRS. */
export interface CrsGenMetadata {
  readonly crsId: RequestId;
  readonly crsDigest: Uint8Array;
  readonly maxNumBits: number;
  readonly extraData: Uint8Array;
  readonly externalSignature: Uint8Array;
  readonly signatures: readonly SchemeSignature[];
}

const CURRENT = 0;
const KEY_VERSION = 0;
const KEY_INNER_VERSION = 3;
/** The same without the signatures of other schemes. */
const KEY_UNSIGNED_VERSION = 2;
const CRS_VERSION = 1;
const CRS_INNER_VERSION = 2;
const SIZE_HINT = 512;
const EMPTY = new Uint8Array(0);

/** Encodes a safe-serialized `KeyGenMetadata`. */
export function encodeKeyGenMetadata(metadata: KeyGenMetadata): Uint8Array {
  return encodeSafe('KeyGenMetadata', SIZE_HINT, (writer) => {
    writer.u32(KEY_VERSION).u32(CURRENT).u32(KEY_INNER_VERSION);
    writer.raw(idBytes(metadata.keyId)).raw(idBytes(metadata.preprocessingId));
    writeDigests(writer, metadata.keyDigests);
    writeTail(writer, metadata);
  });
}

/** Decodes what {@link encodeKeyGenMetadata} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeKeyGenMetadata(bytes: Uint8Array): KeyGenMetadata {
  return decodeSafe(bytes, 'KeyGenMetadata', (reader) => {
    reader.expectU32(KEY_VERSION, 'KeyGenMetadata version');
    reader.expectU32(CURRENT, 'KeyGenMetadata variant');
    reader.expectU32(KEY_INNER_VERSION, 'KeyGenMetadataInner version');
    const keyId = idFromBytes(reader.raw(ID_BYTES), 'key_id');
    const preprocessingId = idFromBytes(reader.raw(ID_BYTES), 'preprocessing_id');
    return { keyId, preprocessingId, keyDigests: readDigests(reader), ...readTail(reader) };
  });
}

/**
 * Reads the `KeyGenMetadata` inside a private object of the published layout, of this release or one before.
 *
 * @throws KmsError `REQUEST_INVALID` for anything else, and for the maps of releases without extra data.
 */
export function readForeignKeyGenMetadata(reader: BincodeReader): KeyGenMetadata {
  reader.expectU32(KEY_VERSION, 'KeyGenMetadata version');
  reader.expectU32(CURRENT, 'KeyGenMetadata variant');
  const version = reader.u32();
  if (version !== KEY_INNER_VERSION && version !== KEY_UNSIGNED_VERSION) {
    throw new KmsError('REQUEST_INVALID', 'key metadata of a version that is not imported', { version });
  }
  const keyId = idFromBytes(reader.raw(ID_BYTES), 'key_id');
  const preprocessingId = idFromBytes(reader.raw(ID_BYTES), 'preprocessing_id');
  const keyDigests = readDigests(reader);
  const tail = version === KEY_INNER_VERSION ? readTail(reader) : { ...readSignature(reader), signatures: [] };
  return { keyId, preprocessingId, keyDigests, ...tail };
}

/** Encodes a safe-serialized `CrsGenMetadata`. */
export function encodeCrsGenMetadata(metadata: CrsGenMetadata): Uint8Array {
  return encodeSafe('CrsGenMetadata', SIZE_HINT, (writer) => {
    writer.u32(CRS_VERSION).u32(CURRENT).u32(CRS_INNER_VERSION);
    writer.raw(idBytes(metadata.crsId)).vec(metadata.crsDigest).u32(metadata.maxNumBits);
    writeTail(writer, metadata);
  });
}

/** Decodes what {@link encodeCrsGenMetadata} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeCrsGenMetadata(bytes: Uint8Array): CrsGenMetadata {
  return decodeSafe(bytes, 'CrsGenMetadata', (reader) => {
    reader.expectU32(CRS_VERSION, 'CrsGenMetadata version');
    reader.expectU32(CURRENT, 'CrsGenMetadata variant');
    reader.expectU32(CRS_INNER_VERSION, 'CrsGenMetadataInner version');
    const crsId = idFromBytes(reader.raw(ID_BYTES), 'crs_id');
    return { crsId, crsDigest: reader.vec(), maxNumBits: reader.u32(), ...readTail(reader) };
  });
}

type Tail = Pick<KeyGenMetadata, 'extraData' | 'externalSignature' | 'signatures'>;

function writeTail(writer: BincodeWriter, { extraData, externalSignature, signatures }: Tail): void {
  // As published: empty extra data is written as none.
  writer.bool(extraData.byteLength > 0);
  if (extraData.byteLength > 0) writer.vec(extraData);
  writer.vec(externalSignature).u64(signatures.length);
  for (const { scheme, signature } of signatures) writer.u32(0).u32(0).u32(scheme).vec(signature);
}

function readSignature(reader: BincodeReader): Omit<Tail, 'signatures'> {
  const extraData = reader.option(() => reader.vec()) ?? EMPTY;
  return { extraData, externalSignature: reader.vec() };
}

function readTail(reader: BincodeReader): Tail {
  const { extraData, externalSignature } = readSignature(reader);
  const signatures = reader.list(20, () => {
    reader.expectU32(0, 'signature version');
    reader.expectU32(0, 'scheme version');
    const scheme = reader.u32();
    if (SigningSchemeType[scheme] === undefined) throw invalid('signing scheme', scheme);
    return { scheme, signature: reader.vec() };
  });
  return { extraData, externalSignature, signatures };
}

function readDigests(reader: BincodeReader): ObjectDigest[] {
  let last = -1;
  return reader.list(16, () => {
    reader.expectU32(0, 'public data type version');
    const number = reader.u32();
    const type = PUBLIC_DATA_TYPES[number];
    if (type === undefined || number <= last) throw invalid('public data type', number);
    last = number;
    return { type, digest: reader.vec() };
  });
}

function invalid(what: string, number: number): KmsError {
  return new KmsError('REQUEST_INVALID', `stored metadata holds an unknown or misplaced ${what}`, { number });
}
