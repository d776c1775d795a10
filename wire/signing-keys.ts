/**
 * Stored forms of the node's signing keys. The private form is SECRET: it is written into an ArrayBuffer of its own,
 * which the caller wipes.
 */
import { KmsError } from '../common/errors.ts';
import { SigningSchemeType } from '../proto/gen/kms_pb.js';
import { HASH_TAG, listHash } from './hash.ts';
import { deriveRequestId, type RequestId, SIGNING_KEY_ID } from './ids.ts';
import { COMPRESSED_KEY_BYTES } from './payloads.ts';
import { decodeSafe, encodeSafe } from './safe-serialize.ts';

const PRIVATE_KEY_BYTES = 32;

/** A verification key that is derived from the node's signing key. */
export interface DerivedScheme {
  readonly scheme: SigningSchemeType;
  /** As in ids and type names. */
  readonly name: 'Ed25519' | 'MlDsa44' | 'MlDsa65' | 'MlDsa87';
  readonly publicKeyBytes: number;
}

/** The derived schemes in the order of their numbers. */
export const DERIVED_SCHEMES: readonly DerivedScheme[] = [
  { scheme: SigningSchemeType.ED25519, name: 'Ed25519', publicKeyBytes: 32 },
  { scheme: SigningSchemeType.MLDSA44, name: 'MlDsa44', publicKeyBytes: 1312 },
  { scheme: SigningSchemeType.MLDSA65, name: 'MlDsa65', publicKeyBytes: 1952 },
  { scheme: SigningSchemeType.MLDSA87, name: 'MlDsa87', publicKeyBytes: 2592 },
];

/** Encodes a `PublicSigKey`: object VerfKey, and TypedVerfKey of ECDSA. */
export function encodePublicSigKey(compressed: Uint8Array): Uint8Array {
  checkLength(compressed, COMPRESSED_KEY_BYTES, 'PublicSigKey');
  return encodeSafe('PublicSigKey', 4 + 8 + COMPRESSED_KEY_BYTES, (writer) => writer.u32(0).vec(compressed));
}

/** Decodes a `PublicSigKey` to its 33 bytes. Throws `REQUEST_INVALID` for anything else. */
export function decodePublicSigKey(bytes: Uint8Array): Uint8Array {
  return decodeSafe(bytes, 'PublicSigKey', (reader) => {
    reader.expectU32(0, 'PublicSigKey version');
    return checkLength(reader.vec(), COMPRESSED_KEY_BYTES, 'PublicSigKey');
  });
}

/**
 * Encodes a `PrivateSigKey`. The result is secret and owns its ArrayBuffer.
 *
 * @param secret - Big-endian scalar, 32 bytes.
 */
export function encodePrivateSigKey(secret: Uint8Array): Uint8Array {
  checkLength(secret, PRIVATE_KEY_BYTES, 'PrivateSigKey');
  return encodeSafe('PrivateSigKey', 4 + 8 + PRIVATE_KEY_BYTES, (writer) => writer.u32(0).vec(secret));
}

/** Decodes a `PrivateSigKey` to a view of the 32 secret bytes: wiping the input wipes the result. */
export function decodePrivateSigKey(bytes: Uint8Array): Uint8Array {
  return decodeSafe(bytes, 'PrivateSigKey', (reader) => {
    reader.expectU32(0, 'PrivateSigKey version');
    return checkLength(reader.vec(), PRIVATE_KEY_BYTES, 'PrivateSigKey');
  });
}

/** Encodes object TypedVerfKey of a derived scheme: a byte vector without version. */
export function encodeTypedVerfKey({ name, publicKeyBytes }: DerivedScheme, publicKey: Uint8Array): Uint8Array {
  checkLength(publicKey, publicKeyBytes, name);
  return encodeSafe(`${name}VerfKey`, 8 + publicKeyBytes, (writer) => writer.vec(publicKey));
}

/** Decodes what {@link encodeTypedVerfKey} wrote. Throws `REQUEST_INVALID` for anything else. */
export function decodeTypedVerfKey({ name, publicKeyBytes }: DerivedScheme, bytes: Uint8Array): Uint8Array {
  return decodeSafe(bytes, `${name}VerfKey`, (reader) => checkLength(reader.vec(), publicKeyBytes, name));
}

/** Returns the id under which TypedVerfKey and TypedVerfAddress of a scheme are stored. */
export function typedVerfKeyId(scheme: SigningSchemeType): RequestId {
  const derived = DERIVED_SCHEMES.find((candidate) => candidate.scheme === scheme);
  return derived === undefined ? SIGNING_KEY_ID : deriveRequestId(`SIGNING_KEY_ID_${derived.name}`);
}

/** Returns the digest that names a derived key: the key itself (Ed25519) or a 32-byte hash of it (ML-DSA). */
export function derivedKeyDigest({ scheme }: DerivedScheme, publicKey: Uint8Array): Uint8Array {
  if (scheme === SigningSchemeType.ED25519) return publicKey;
  return listHash(HASH_TAG.schemeKeyDigest, [Uint8Array.of(scheme, 0, 0, 0), publicKey]);
}

function checkLength(bytes: Uint8Array, sizeBytes: number, typeName: string): Uint8Array {
  if (bytes.byteLength !== sizeBytes) {
    throw new KmsError('REQUEST_INVALID', `${typeName} must have ${sizeBytes} bytes`, { found: bytes.byteLength });
  }
  return bytes;
}
