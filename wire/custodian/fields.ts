/**
 * Fields that the custodian formats share, in both of their encodings: `stored` (a version in front of every struct,
 * fixed arrays framed like vectors) and `signed` (plain bincode). Spec: kms-service 3.1 and 3.3.
 */
import { KmsError } from '../../common/errors.ts';
import type { BincodeReader, BincodeWriter } from '../bincode.ts';
import { EK_BYTES, encodeEncKey, parseEncKey } from '../enc-key.ts';
import { ID_BYTES, idBytes, idFromBytes, type RequestId } from '../ids.ts';
import { COMPRESSED_KEY_BYTES } from '../payloads.ts';
import { addressOfCompressedKey } from '../signatures.ts';

/** Which encoding of a struct is written. */
export type Encoding = 'stored' | 'signed';

/** Most custodians of a context: the evaluation points of the sharing are the 15 nonzero elements of GF(16). */
export const MAX_CUSTODIANS = 15;

const VERSION = 0;
const ML_KEM_512 = 0;
const ECDSA = 0;

/** Writes the version of a struct where the encoding has one. */
export function writeVersion(writer: BincodeWriter, encoding: Encoding): BincodeWriter {
  return encoding === 'stored' ? writer.u32(VERSION) : writer;
}

/** Reads the version of a stored struct; all of them are 0. */
export function readVersion(reader: BincodeReader, what: string): void {
  reader.expectU32(VERSION, `${what} version`);
}

/** Writes the 1-based number of a custodian. */
export function writeRole(writer: BincodeWriter, role: number, encoding: Encoding): void {
  writeVersion(writer, encoding).u64(role);
}

/** Reads the stored number of a custodian: 1 to {@link MAX_CUSTODIANS}. */
export function readRole(reader: BincodeReader): number {
  readVersion(reader, 'Role');
  const role = reader.u64();
  if (role < 1 || role > MAX_CUSTODIANS) {
    throw new KmsError('REQUEST_INVALID', `a custodian has a number from 1 to ${MAX_CUSTODIANS}`, { role });
  }
  return role;
}

/** Writes an ML-KEM-512 encapsulation key, 800 bytes. */
export function writeEncryptionKey(writer: BincodeWriter, ek: Uint8Array, encoding: Encoding): void {
  writeVersion(writer, encoding).u32(ML_KEM_512).vec(ek);
}

/** Reads a stored encapsulation key and checks it as `enc_key` of a request is checked. */
export function readEncryptionKey(reader: BincodeReader): Uint8Array {
  readVersion(reader, 'UnifiedPublicEncKey');
  reader.expectU32(ML_KEM_512, 'variant of an encryption key (0 is ML-KEM-512)');
  const ek = reader.vec();
  if (ek.byteLength !== EK_BYTES) {
    throw new KmsError('REQUEST_INVALID', `an ML-KEM-512 key has ${EK_BYTES} bytes`, { found: ek.byteLength });
  }
  return parseEncKey(encodeEncKey(ek));
}

/** Writes a compressed secp256k1 key. */
export function writeVerificationKey(writer: BincodeWriter, key: Uint8Array, encoding: Encoding): void {
  writeVersion(writer, encoding).vec(key);
}

/** Reads a stored secp256k1 key and checks that it is a point. */
export function readVerificationKey(reader: BincodeReader): Uint8Array {
  readVersion(reader, 'PublicSigKey');
  const key = reader.vec();
  if (key.byteLength !== COMPRESSED_KEY_BYTES) {
    throw new KmsError('REQUEST_INVALID', `a verification key has ${COMPRESSED_KEY_BYTES} bytes`, {
      found: key.byteLength,
    });
  }
  addressOfCompressedKey(key);
  return Uint8Array.from(key);
}

/** Writes a signcryption: its bytes and its two schemes, ML-KEM-512 and ECDSA over secp256k1. */
export function writeSigncryption(writer: BincodeWriter, signcryption: Uint8Array, encoding: Encoding): void {
  writeVersion(writer, encoding).vec(signcryption);
  writeVersion(writer, encoding).u32(ML_KEM_512);
  writeVersion(writer, encoding).u32(ECDSA);
}

/** Reads the bytes of a stored signcryption of these two schemes. */
export function readSigncryption(reader: BincodeReader): Uint8Array {
  readVersion(reader, 'UnifiedSigncryption');
  const bytes = Uint8Array.from(reader.vec());
  readVersion(reader, 'PkeSchemeType');
  reader.expectU32(ML_KEM_512, 'encryption scheme (0 is ML-KEM-512)');
  readVersion(reader, 'SigningSchemeType');
  reader.expectU32(ECDSA, 'signing scheme (0 is ECDSA)');
  return bytes;
}

/** Writes an id: 32 bytes, never framed. */
export function writeId(writer: BincodeWriter, id: RequestId): void {
  writer.raw(idBytes(id));
}

/** Reads an id. Throws `REQUEST_INVALID` for the all-zero one. */
export function readId(reader: BincodeReader, what: string): RequestId {
  return idFromBytes(reader.raw(ID_BYTES), what);
}

/** Writes a map from custodian to value, in the order of their numbers. */
export function writeByRole<T>(
  writer: BincodeWriter,
  map: ReadonlyMap<number, T>,
  encoding: Encoding,
  value: (value: T) => void,
): void {
  writer.u64(map.size);
  for (const role of [...map.keys()].sort((a, b) => a - b)) {
    writeRole(writer, role, encoding);
    const found = map.get(role);
    if (found !== undefined) value(found);
  }
}

/** Reads a stored map from custodian to value: ascending numbers, each once. */
export function readByRole<T>(reader: BincodeReader, minValueBytes: number, value: () => T): Map<number, T> {
  const map = new Map<number, T>();
  let last = 0;
  reader.list(12 + minValueBytes, () => {
    const role = readRole(reader);
    if (role <= last) {
      throw new KmsError('REQUEST_INVALID', 'custodians must stand in the order of their numbers, each once', { role });
    }
    last = role;
    map.set(role, value());
  });
  return map;
}
