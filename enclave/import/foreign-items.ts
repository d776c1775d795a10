/**
 * Objects of another node's vault, each read, compared with what that node published, and ready to be written here.
 *
 * SECRET: keys and shares, which stay in native memory until an item is written, and are wiped when it is disposed of.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { KeyShares, ParamsName } from '../../native/engine/index.ts';
import type { RequestId } from '../../wire/ids.ts';
import {
  type CrsGenMetadata,
  decodeCrsGenMetadata,
  encodeCrsGenMetadata,
  encodeKeyGenMetadata,
  type KeyGenMetadata,
} from '../../wire/metadata.ts';
import type { ObjectDigest } from '../../wire/signed-payloads.ts';
import {
  type ForeignKey,
  type ForeignShares,
  readForeignKey,
  readForeignShares,
  type ShareOwner,
} from './foreign-keys.ts';
import { readFile } from './foreign-store.ts';
import type { ForeignObject, ForeignVault } from './foreign-vault.ts';
import { hashedObject, type Material, type MaterialFiles, requireBelongs } from './public-material.ts';
import { readWholeKey } from './whole-key.ts';

/** Signs anew what another node had signed, or hands it back as it is; refuses what it does not like. */
export interface Resigner {
  keySet(metadata: KeyGenMetadata): KeyGenMetadata;
  crs(metadata: CrsGenMetadata): CrsGenMetadata;
}

/** An object that was read and compared. */
export interface ForeignItem {
  readonly object: ForeignObject;
  /** Of keys. */
  readonly params?: ParamsName;
  readonly published: readonly Material[];
  /** Writes the content of our own private object; the caller wipes it. */
  encode(): Uint8Array;
  dispose(): void;
}

/**
 * Reads an object and compares it with what was published under its id.
 *
 * @param owner - Whose shares are taken; undefined: whole keys are.
 * @param resigner - What the object is to be signed by here.
 * @throws KmsError What `resigner` throws; `STATE_INVALID` with every digest that differs; `KEY_INVALID`, `REQUEST_INVALID` for what is not such an
 *   object; `PRECONDITION_FAILED` for a whole key where shares are taken, and the other way round.
 */
export async function readItem(
  vault: ForeignVault,
  object: ForeignObject,
  owner: ShareOwner | undefined,
  resigner: Resigner,
): Promise<ForeignItem> {
  if (object.type === (owner ? 'FhePrivateKey' : 'FheKeyInfo')) throw otherKind(object, owner);
  const content = await vault.open([object.type, object.epochId, object.id]);
  try {
    if (object.type === 'CrsInfo') return await readCrs(vault, object, content, resigner);
    return owner
      ? await readShares(vault, object, readForeignShares(content, owner), resigner)
      : await readKey(vault, object, readForeignKey(content), resigner);
  } finally {
    content.fill(0);
  }
}

async function readCrs(
  vault: ForeignVault,
  object: ForeignObject,
  content: Uint8Array,
  resigner: Resigner,
): Promise<ForeignItem> {
  // A copy: what is decoded looks into the bytes, which are wiped.
  const found = decodeCrsGenMetadata(Uint8Array.from(content));
  requireSame(object, found.crsId);
  const metadata = resigner.crs(found);
  const published = await requirePublished(vault, object.id, [{ type: 'CRS', digest: metadata.crsDigest }]);
  return {
    object,
    published,
    encode: () => encodeCrsGenMetadata(metadata),
    dispose: () => undefined,
  };
}

async function readKey(
  vault: ForeignVault,
  object: ForeignObject,
  { clientKey, metadata: viewed }: ForeignKey,
  resigner: Resigner,
): Promise<ForeignItem> {
  try {
    requireSame(object, viewed.keyId);
    const metadata = resigner.keySet(copyOf(viewed));
    const key = readWholeKey(clientKey);
    try {
      const published = await requirePublished(vault, object.id, metadata.keyDigests);
      await withFiles(vault, object.id, metadata.keyDigests, (files) => requireBelongs(files, key));
      return {
        object,
        params: key.params,
        published,
        encode: () => key.encode(encodeKeyGenMetadata(metadata)),
        dispose: () => key.dispose(),
      };
    } catch (error) {
      key.dispose();
      throw error;
    }
  } finally {
    clientKey.fill(0);
  }
}

async function readShares(
  vault: ForeignVault,
  object: ForeignObject,
  { shares, metadata: viewed }: ForeignShares,
  resigner: Resigner,
): Promise<ForeignItem> {
  try {
    requireSame(object, viewed.keyId);
    const metadata = resigner.keySet(copyOf(viewed));
    const published = await requirePublished(vault, object.id, metadata.keyDigests);
    return sharesItem(object, shares, metadata, published);
  } catch (error) {
    shares.dispose();
    throw error;
  }
}

function sharesItem(
  object: ForeignObject,
  shares: KeyShares,
  metadata: KeyGenMetadata,
  published: readonly Material[],
): ForeignItem {
  return {
    object,
    params: shares.params,
    published,
    encode: () => shares.encode(encodeKeyGenMetadata(metadata)),
    dispose: () => shares.dispose(),
  };
}

/** What is decoded looks into the bytes of the object, which are wiped. */
function copyOf(metadata: KeyGenMetadata): KeyGenMetadata {
  return {
    ...metadata,
    keyDigests: metadata.keyDigests.map(({ type, digest }) => ({ type, digest: Uint8Array.from(digest) })),
    extraData: Uint8Array.from(metadata.extraData),
    externalSignature: Uint8Array.from(metadata.externalSignature),
    signatures: metadata.signatures.map(({ scheme, signature }) => ({ scheme, signature: Uint8Array.from(signature) })),
  };
}

/** Compares what was published with the digests that the private object has of it. */
async function requirePublished(
  vault: ForeignVault,
  id: RequestId,
  digests: readonly ObjectDigest[],
): Promise<readonly Material[]> {
  if (digests.length === 0) throw new KmsError('STATE_INVALID', `${id} names no public object`);
  const published: Material[] = [];
  for (const { type } of digests) {
    published.push(await hashedObject(type, `${type}/${id}`, () => vault.published.stream([type, id])));
  }
  const other = digests.filter(({ digest }, index) => {
    const found = published[index]?.digest;
    return !found || !equalBytes(found, digest);
  });
  if (other.length === 0) return published;
  const names = other.map(({ type }) => `${type}/${id}`).join(', ');
  throw new KmsError('STATE_INVALID', `the private object has other digests of what was published: ${names}`);
}

/** Lends the files of a key's public objects: of those digests, since whoever keeps them may give other ones at each reading. */
async function withFiles(
  { published: { files } }: ForeignVault,
  id: RequestId,
  digests: readonly ObjectDigest[],
  use: (files: MaterialFiles) => Promise<void>,
): Promise<void> {
  const isCompressed = digests.some(({ type }) => type === 'CompressedXofKeySet');
  const otherType = isCompressed ? 'CompressedXofKeySet' : 'ServerKey';
  await using publicKey = await files.take('PublicKey', id);
  await using other = await files.take(otherType, id);
  for (const [type, { path }] of [['PublicKey', publicKey] as const, [otherType, other] as const]) {
    const { digest } = await hashedObject(type, `${type}/${id}`, () => readFile(path));
    if (digests.some((known) => known.type === type && equalBytes(known.digest, digest))) continue;
    throw new KmsError('ABORTED', `${type}/${id} changed while it was imported`);
  }
  const known = { publicKey: publicKey.path };
  await use(isCompressed ? { ...known, keySet: other.path } : { ...known, serverKey: other.path });
}

function requireSame({ type, epochId, id }: ForeignObject, found: RequestId): void {
  if (id === found) return;
  throw new KmsError('STATE_INVALID', `${type}/${epochId}/${id} holds an object of another id: it was moved there`);
}

function otherKind({ type, epochId, id }: ForeignObject, owner: ShareOwner | undefined): KmsError {
  const [held, wanted] = owner ? ['a whole key', 'party of a quorum'] : ['shares of a party', 'centralized node'];
  return new KmsError('PRECONDITION_FAILED', `${type}/${epochId}/${id} is ${held}, and this is a ${wanted}`);
}
