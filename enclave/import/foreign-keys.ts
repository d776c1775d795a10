/**
 * Keys as private objects of the published layout hold them: whole ones of centralized nodes, shares of parties.
 *
 * SECRET: everything here but metadata. Objects of the tfhe library stand among the fields without lengths, so the library
 * itself says where each one ends. Layout: docs/formats/zama-vault.md.
 */
import { createHash } from 'node:crypto';
import { encodeCanonical } from '../../attestation/cbor.ts';
import { KmsError } from '../../common/errors.ts';
import { KeyShares, type MeasuredKind, measureObject } from '../../native/engine/index.ts';
import type { BincodeReader } from '../../wire/bincode.ts';
import { idBytes } from '../../wire/ids.ts';
import { type KeyGenMetadata, readForeignKeyGenMetadata } from '../../wire/metadata.ts';
import { decodeSafe, encodeSafe } from '../../wire/safe-serialize.ts';
import { readShareSet, SHARE_ELEMENT_BYTES, type ShareSet } from './foreign-shares.ts';

/** A whole key. */
export interface ForeignKey {
  /** Safe serialization of the client key, in an ArrayBuffer of its own that the caller wipes. */
  readonly clientKey: Uint8Array;
  readonly metadata: KeyGenMetadata;
}

/** One party's shares. */
export interface ForeignShares {
  /** Disposed of by the caller. */
  readonly shares: KeyShares;
  readonly metadata: KeyGenMetadata;
}

/** Whose shares are wanted. */
export interface ShareOwner {
  readonly n: number;
  readonly t: number;
  readonly party: number;
}

const HANDLES_VERSION = 1;
/** The first has no variants of public material; the second and third differ in nothing that is stored. */
const [UNCOMPRESSED_VERSION, NEWEST_VERSION] = [1, 3];
const [FAT_MATERIAL, SLIM_MATERIAL] = [0, 1];
const [UNCOMPRESSED, COMPRESSED] = [0, 1];
const IMPORTED = 2;
const ID_BYTES = 32;
/** Encryptions of zero that come with a sharing: another system makes none. */
const ZEROS_BYTES = 32;

/**
 * Reads a `KmsFheKeyHandles`.
 *
 * @throws KmsError `REQUEST_INVALID`, `KEY_INVALID` for anything else, or of a release that keeps no metadata of today.
 */
export function readForeignKey(bytes: Uint8Array): ForeignKey {
  return decodeSafe(bytes, 'KmsFheKeyHandles', (reader) => {
    reader.expectU32(HANDLES_VERSION, 'KmsFheKeyHandles version');
    const clientKey = takeObject(reader, bytes, 'ClientKey');
    reader.option(() => takeObject(reader, bytes, 'DecompressionKey'));
    const metadata = readForeignKeyGenMetadata(reader);
    reader.end();
    const body = clientKey.byteLength;
    return { clientKey: encodeSafe('high_level_api::ClientKey', body, (writer) => writer.raw(clientKey)), metadata };
  });
}

/**
 * Reads a `ThresholdFheKeys`: the shares of one party, whose number each of them bears.
 *
 * @throws KmsError As {@link readForeignKey}; `KEY_INVALID` for shares of another party, or over the smaller ring.
 */
export function readForeignShares(bytes: Uint8Array, owner: ShareOwner): ForeignShares {
  const { set, metadata } = decodeSafe(bytes, 'ThresholdFheKeys', (reader) => {
    const version = reader.u32();
    if (version < UNCOMPRESSED_VERSION || version > NEWEST_VERSION) throw notImported('ThresholdFheKeys', version);
    const take = (kind: MeasuredKind): Uint8Array => takeObject(reader, bytes, kind);
    const found = readShareSet(reader, owner.party, take);
    if (version === UNCOMPRESSED_VERSION) skipUncompressed(reader, take);
    else skipMaterial(reader, take);
    return { set: found, metadata: readForeignKeyGenMetadata(reader) };
  });
  const encoded = encodeShares(set, metadata, owner);
  try {
    return { shares: KeyShares.fromBytes(encoded), metadata };
  } finally {
    encoded.fill(0);
  }
}

function takeObject(reader: BincodeReader, bytes: Uint8Array, kind: MeasuredKind): Uint8Array {
  return reader.raw(measureObject(kind, bytes.subarray(bytes.byteLength - reader.remaining)));
}

/** Public material lies inside the private object, too. What was published is what counts, and is compared elsewhere. */
function skipMaterial(reader: BincodeReader, take: (kind: MeasuredKind) => Uint8Array): void {
  const version = reader.u32();
  if (version !== FAT_MATERIAL && version !== SLIM_MATERIAL) throw notImported('PublicKeyMaterial', version);
  const variant = reader.u32();
  if (variant === COMPRESSED) take('CompressedXofKeySet');
  else if (variant !== UNCOMPRESSED) throw notImported('PublicKeyMaterial variant', variant);
  if (variant === UNCOMPRESSED || version === FAT_MATERIAL) skipUncompressed(reader, take);
}

function skipUncompressed(reader: BincodeReader, take: (kind: MeasuredKind) => Uint8Array): void {
  take('ServerKey');
  reader.option(() => take('NoiseSquashingKey'));
  reader.option(() => take('DecompressionKey'));
}

/** Writes the stored form of our own, with the id of the key as the tag. */
function encodeShares(set: ShareSet, metadata: KeyGenMetadata, { n, t, party }: ShareOwner): Uint8Array {
  const keys = set.keys.reduce((sum, key) => sum + 8 + (key.byteLength / set.strideBytes) * SHARE_ELEMENT_BYTES, 0);
  const size = 6 * 4 + ID_BYTES + 8 + ID_BYTES + 8 + keys + ZEROS_BYTES;
  return encodeSafe('arca::KeyShares', size, (writer) => {
    for (const number of [0, set.params, n, t, party, IMPORTED]) writer.u32(number);
    writer.raw(sharingId(metadata, { n, t }));
    writer.vec(idBytes(metadata.keyId)).vec(new Uint8Array());
    for (const key of set.keys) {
      writer.u64(key.byteLength / set.strideBytes);
      for (let at = 0; at < key.byteLength; at += set.strideBytes) writer.raw(set.element(key, at));
    }
    writer.raw(new Uint8Array(ZEROS_BYTES));
  });
}

/** Names the sharing by what all its parties have in common. Only hashed, never signed. */
function sharingId({ keyId, preprocessingId, keyDigests }: KeyGenMetadata, { n, t }: { n: number; t: number }) {
  const facts = ['arca-imported-shares', 1, idBytes(keyId), idBytes(preprocessingId), n, t];
  const digests = keyDigests.flatMap(({ type, digest }) => [type, digest]);
  return createHash('sha256')
    .update(encodeCanonical([...facts, ...digests]))
    .digest();
}

function notImported(what: string, version: number): KmsError {
  const message = `${what} ${version} is not imported: start the node's newest release once, which writes what is`;
  return new KmsError('REQUEST_INVALID', message, { version });
}
