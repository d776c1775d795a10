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
import { readForeignKey, readForeignShares, type ShareOwner } from './foreign-keys.ts';
import type { ForeignObject, ForeignVault } from './foreign-vault.ts';
import { hashedFile, type Material, requireBelongs } from './public-material.ts';
import { readWholeKey } from './whole-key.ts';

/** Signs anew what another node had signed; hands back what needs no other signature. */
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
  encode(resigner: Resigner): Uint8Array;
  dispose(): void;
}

/**
 * Reads an object and compares it with what was published under its id.
 *
 * @param owner - Whose shares are taken; undefined: whole keys are.
 * @throws KmsError `STATE_INVALID` with every digest that differs; `KEY_INVALID`, `REQUEST_INVALID` for what is not such an
 *   object; `PRECONDITION_FAILED` for a whole key where shares are taken, and the other way round.
 */
export async function readItem(
  vault: ForeignVault,
  object: ForeignObject,
  owner: ShareOwner | undefined,
): Promise<ForeignItem> {
  if (object.type === (owner ? 'FhePrivateKey' : 'FheKeyInfo')) throw otherKind(object, owner);
  const content = await vault.open([object.type, object.epochId, object.id]);
  try {
    if (object.type === 'CrsInfo') return await readCrs(vault, object, content);
    return owner ? await readShares(vault, object, content, owner) : await readKey(vault, object, content);
  } finally {
    content.fill(0);
  }
}

async function readCrs(vault: ForeignVault, object: ForeignObject, content: Uint8Array): Promise<ForeignItem> {
  // A copy: what is decoded looks into the bytes, which are wiped.
  const metadata = decodeCrsGenMetadata(Uint8Array.from(content));
  requireSame(object, metadata.crsId);
  const published = await requirePublished(vault, object.id, [{ type: 'CRS', digest: metadata.crsDigest }]);
  return {
    object,
    published,
    encode: (resigner) => encodeCrsGenMetadata(resigner.crs(metadata)),
    dispose: () => undefined,
  };
}

async function readKey(vault: ForeignVault, object: ForeignObject, content: Uint8Array): Promise<ForeignItem> {
  const { clientKey, metadata: viewed } = readForeignKey(content);
  try {
    const metadata = copyOf(viewed);
    requireSame(object, metadata.keyId);
    const key = readWholeKey(clientKey);
    try {
      const published = await requirePublished(vault, object.id, metadata.keyDigests);
      await requireBelongs(filesOf(vault, object.id, metadata.keyDigests), key);
      return {
        object,
        params: key.params,
        published,
        encode: (resigner) => key.encode(encodeKeyGenMetadata(resigner.keySet(metadata))),
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
  content: Uint8Array,
  owner: ShareOwner,
): Promise<ForeignItem> {
  const { shares, metadata: viewed } = readForeignShares(content, owner);
  try {
    const metadata = copyOf(viewed);
    requireSame(object, metadata.keyId);
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
    encode: (resigner) => shares.encode(encodeKeyGenMetadata(resigner.keySet(metadata))),
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
  for (const { type } of digests) published.push(await hashedFile(type, vault.publicFile(type, id)));
  const other = digests.filter(({ digest }, index) => {
    const found = published[index]?.digest;
    return !found || !equalBytes(found, digest);
  });
  if (other.length === 0) return published;
  const names = other.map(({ type }) => `${type}/${id}`).join(', ');
  throw new KmsError('STATE_INVALID', `the private object has other digests of what was published: ${names}`);
}

function filesOf(vault: ForeignVault, id: RequestId, digests: readonly ObjectDigest[]) {
  const publicKey = vault.publicFile('PublicKey', id);
  const isCompressed = digests.some(({ type }) => type === 'CompressedXofKeySet');
  return isCompressed
    ? { publicKey, keySet: vault.publicFile('CompressedXofKeySet', id) }
    : { publicKey, serverKey: vault.publicFile('ServerKey', id) };
}

function requireSame({ type, epochId, id }: ForeignObject, found: RequestId): void {
  if (id === found) return;
  throw new KmsError('STATE_INVALID', `${type}/${epochId}/${id} holds an object of another id: it was moved there`);
}

function otherKind({ type, epochId, id }: ForeignObject, owner: ShareOwner | undefined): KmsError {
  const [held, wanted] = owner ? ['a whole key', 'party of a quorum'] : ['shares of a party', 'centralized node'];
  return new KmsError('PRECONDITION_FAILED', `${type}/${epochId}/${id} is ${held}, and this is a ${wanted}`);
}
