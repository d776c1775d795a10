/**
 * What the schemes other than ECDSA sign for generations: safe-serialized structs, behind the tag of the object.
 * The preimage is tag ‖ body; for decryptions the body is the encoded response payload.
 */
import type { BincodeWriter } from './bincode.ts';
import type { HASH_TAG } from './hash.ts';
import { ID_BYTES, idBytes, type RequestId } from './ids.ts';
import { type PublicDataType, publicDataTypeNumber } from './public-data.ts';
import { encodeSafe } from './safe-serialize.ts';

/** Digest of a public object. */
export interface ObjectDigest {
  readonly type: PublicDataType;
  readonly digest: Uint8Array;
}

/** Tags in front of what is signed. */
export type SignedTag =
  | typeof HASH_TAG.publicDecryption
  | typeof HASH_TAG.userDecryption
  | typeof HASH_TAG.key
  | typeof HASH_TAG.crs
  | typeof HASH_TAG.backupToCustodian
  | typeof HASH_TAG.backupRecovery;

const VERSION = 0;

/** Returns tag ‖ body: what the non-ECDSA schemes sign, and what ECDSA signs the SHA-256 of. */
export function signedPreimage(tag: SignedTag, body: Uint8Array): Uint8Array {
  const preimage = new Uint8Array(tag.length + body.byteLength);
  preimage.set(Buffer.from(tag, 'latin1'));
  preimage.set(body, tag.length);
  return preimage;
}

/** Body for a preprocessing, under the tag PDAT_KEY. */
export function encodePrepKeygenSignedPayload(args: {
  readonly prepId: RequestId;
  readonly extraData: Uint8Array;
}): Uint8Array {
  const bodyBytes = 4 + ID_BYTES + 8 + args.extraData.byteLength;
  return encodeSafe('PrepKeygenSignedPayload', bodyBytes, (writer) =>
    writer.u32(VERSION).raw(idBytes(args.prepId)).vec(args.extraData),
  );
}

/** Body for a key generation, under the tag PDAT_KEY. */
export function encodeKeygenSignedPayload(args: {
  readonly prepId: RequestId;
  readonly keyId: RequestId;
  readonly keyDigests: readonly ObjectDigest[];
  readonly extraData: Uint8Array;
}): Uint8Array {
  const bodyBytes = 4 + 2 * ID_BYTES + 8 + 48 * args.keyDigests.length + 8 + args.extraData.byteLength;
  return encodeSafe('KeygenSignedPayload', bodyBytes, (writer) => {
    writer.u32(VERSION).raw(idBytes(args.prepId)).raw(idBytes(args.keyId));
    writeDigests(writer, args.keyDigests);
    writer.vec(args.extraData);
  });
}

/** Body for a CRS, under the tag PDAT_CRS. */
export function encodeCrsSignedPayload(args: {
  readonly crsId: RequestId;
  readonly maxNumBits: number;
  readonly crsDigest: Uint8Array;
  readonly extraData: Uint8Array;
}): Uint8Array {
  const bodyBytes = 4 + ID_BYTES + 4 + 8 + args.crsDigest.byteLength + 8 + args.extraData.byteLength;
  return encodeSafe('CrsSignedPayload', bodyBytes, (writer) =>
    writer.u32(VERSION).raw(idBytes(args.crsId)).u32(args.maxNumBits).vec(args.crsDigest).vec(args.extraData),
  );
}

/** Writes an ordered map from public data type to digest: sorted by the numbers of the types. */
export function writeDigests(writer: BincodeWriter, digests: readonly ObjectDigest[]): void {
  const sorted = [...digests].sort((a, b) => publicDataTypeNumber(a.type) - publicDataTypeNumber(b.type));
  writer.u64(sorted.length);
  for (const { type, digest } of sorted) writer.u32(VERSION).u32(publicDataTypeNumber(type)).vec(digest);
}
