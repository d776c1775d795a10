/**
 * The payloads of decryption answers, as they are signed: bincode of the response structs, never their protobuf
 * bytes. A verifier that gets the protobuf message encodes it again and compares signatures.
 */
import { KmsError } from '../common/errors.ts';
import { BincodeReader, BincodeWriter } from './bincode.ts';
import { fheType } from './fhe-types.ts';
import { parseRequestId, type RequestId } from './ids.ts';

/** One decrypted value. */
export interface TypedPlaintextData {
  /** Little-endian, exactly as wide as the type. */
  readonly bytes: Uint8Array;
  readonly fheType: number;
}

/** One signcrypted value. */
interface SigncryptedData {
  readonly fheType: number;
  readonly signcryptedCiphertext: Uint8Array;
  readonly externalHandle: Uint8Array;
  readonly packingFactor: number;
}

/** Answer of a public decryption. */
export interface PublicDecryptionPayload {
  /** As {@link verificationKeyField} gives it. */
  readonly verificationKey: Uint8Array;
  readonly plaintexts: readonly TypedPlaintextData[];
  readonly requestId?: RequestId | undefined;
}

/** Answer of a user decryption. */
export interface UserDecryptionPayload {
  /** As {@link verificationKeyField} gives it. */
  readonly verificationKey: Uint8Array;
  /** The link, 32 bytes. */
  readonly digest: Uint8Array;
  readonly signcryptedCiphertexts: readonly SigncryptedData[];
  readonly partyId: number;
  readonly degree: number;
}

/** Length of a compressed secp256k1 point. */
export const COMPRESSED_KEY_BYTES = 33;
const VERIFICATION_KEY_BYTES = 8 + COMPRESSED_KEY_BYTES;

/** Returns what stands in `verification_key`: the bincode byte vector of the compressed point, 41 bytes. */
export function verificationKeyField(compressed: Uint8Array): Uint8Array {
  return new BincodeWriter(VERIFICATION_KEY_BYTES).vec(compressed).finish();
}

/**
 * Returns the compressed point in a `verification_key`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` unless it has exactly the form that nodes send.
 */
export function parseVerificationKeyField(field: Uint8Array): Uint8Array {
  const reader = new BincodeReader(field);
  const compressed = reader.vec();
  reader.end();
  if (compressed.byteLength !== COMPRESSED_KEY_BYTES) {
    throw new KmsError('REQUEST_INVALID', 'verification_key must hold 33 bytes', { sizeBytes: compressed.byteLength });
  }
  return compressed;
}

/**
 * Returns whether a plaintext has exactly the width of its type.
 *
 * The rule also keeps two signatures apart that share the tag USER_DEC. One preimage starts with the plaintext's
 * length, the other with that of `verification_key` (41; 33 where it is sent bare): no width is either number.
 */
export function hasPlaintextWidth({ bytes, fheType: number }: TypedPlaintextData): boolean {
  const sizeBytes = bytes.byteLength;
  if (sizeBytes === COMPRESSED_KEY_BYTES || sizeBytes === VERIFICATION_KEY_BYTES) return false;
  return fheType(number)?.sizeBytes === sizeBytes;
}

/** Encodes the answer of a public decryption for signing. */
export function encodePublicDecryptionPayload(payload: PublicDecryptionPayload): Uint8Array {
  const { verificationKey, plaintexts, requestId } = payload;
  let sizeBytes = 8 + verificationKey.byteLength + 8 + 1 + (requestId === undefined ? 0 : 8 + requestId.length);
  for (const { bytes } of plaintexts) sizeBytes += 8 + bytes.byteLength + 4;
  const writer = new BincodeWriter(sizeBytes).vec(verificationKey).u64(plaintexts.length);
  for (const { bytes, fheType: number } of plaintexts) writer.vec(bytes).i32(number);
  writer.bool(requestId !== undefined);
  if (requestId !== undefined) writer.string(requestId);
  return writer.finish();
}

/**
 * Decodes what {@link encodePublicDecryptionPayload} wrote.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything else, bytes after the end too.
 */
export function decodePublicDecryptionPayload(bytes: Uint8Array): PublicDecryptionPayload {
  const reader = new BincodeReader(bytes);
  const verificationKey = reader.vec();
  const plaintexts = reader.list(12, () => ({ bytes: reader.vec(), fheType: reader.i32() }));
  const requestId = reader.option(() => parseRequestId(reader.string()));
  reader.end();
  return { verificationKey, plaintexts, requestId };
}

/** Encodes the answer of a user decryption for signing; clients of the wasm package get these bytes as `payload`. */
export function encodeUserDecryptionPayload(payload: UserDecryptionPayload): Uint8Array {
  const { verificationKey, digest, signcryptedCiphertexts } = payload;
  let sizeBytes = 8 + verificationKey.byteLength + 8 + digest.byteLength + 8 + 4 + 4;
  for (const { signcryptedCiphertext, externalHandle } of signcryptedCiphertexts) {
    sizeBytes += 4 + 8 + signcryptedCiphertext.byteLength + 8 + externalHandle.byteLength + 4;
  }
  const writer = new BincodeWriter(sizeBytes).vec(verificationKey).vec(digest).u64(signcryptedCiphertexts.length);
  for (const item of signcryptedCiphertexts) {
    writer.i32(item.fheType).vec(item.signcryptedCiphertext).vec(item.externalHandle).u32(item.packingFactor);
  }
  return writer.u32(payload.partyId).u32(payload.degree).finish();
}

/**
 * Decodes what {@link encodeUserDecryptionPayload} wrote.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for anything else, bytes after the end too.
 */
export function decodeUserDecryptionPayload(bytes: Uint8Array): UserDecryptionPayload {
  const reader = new BincodeReader(bytes);
  const verificationKey = reader.vec();
  const digest = reader.vec();
  const signcryptedCiphertexts = reader.list(24, () => ({
    fheType: reader.i32(),
    signcryptedCiphertext: reader.vec(),
    externalHandle: reader.vec(),
    packingFactor: reader.u32(),
  }));
  const partyId = reader.u32();
  const degree = reader.u32();
  reader.end();
  return { verificationKey, digest, signcryptedCiphertexts, partyId, degree };
}
