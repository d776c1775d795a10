/**
 * The public objects that go with an imported key: given as files and checked against the key, or made anew for it.
 *
 * Everything here is public but the key that checks. Files are read again when they are stored, so what is stored is what
 * was hashed, or nothing.
 */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import {
  type FheKey,
  generateCrs,
  generateKeySet,
  type KeyLayout,
  type NativeBytes,
  publicDecrypt,
} from '../../native/engine/index.ts';
import {
  type Crs,
  type EvaluationKeys,
  loadCrs,
  loadEvaluationKeys,
  proveInput,
  verifyAndExpand,
} from '../../native/engine/public.ts';
import { DomainHasher, HASH_TAG, type HashTag } from '../../wire/hash.ts';
import { idBytes, type RequestId } from '../../wire/ids.ts';
import { type PublicDataType, publicDataTypeNumber } from '../../wire/public-data.ts';
import type { ObjectDigest } from '../../wire/signed-payloads.ts';
import { readFile } from './foreign-store.ts';

/** Files of a key set: the public key, and either the seeded key set or the expanded server key. */
export type MaterialFiles =
  | { readonly publicKey: string; readonly keySet: string }
  | { readonly publicKey: string; readonly serverKey: string };

/** A public object that can be read again and again. */
export interface Material extends ObjectDigest {
  /** Gives the object's bytes, and throws at their end if they are not those of the digest. */
  bytes(): AsyncIterable<Uint8Array>;
}

/** Public objects in the order of their types, and the key that bears their tag. */
export interface KeyMaterial {
  readonly objects: readonly Material[];
  /** The given key, or the same secret with the tag of new objects; disposed of by the caller as well. */
  readonly key: FheKey;
  dispose(): void;
}

const READ_BYTES = 1024 * 1024;
/** What is encrypted to see whether the objects belong to the key: both nibbles of a byte differ. */
const PROBE = { fheType: 2, value: 0x5an } as const;
const SMALL_EXPANDED = 1;
const BIG_COMPRESSED = 2;

/**
 * Hashes files and checks that what they encrypt, and what they make of it, opens under the key.
 *
 * @throws KmsError `KEY_INVALID` saying which of them does not belong to the key; `NOT_FOUND` for a missing file.
 */
export async function materialOfFiles(files: MaterialFiles, key: FheKey): Promise<KeyMaterial> {
  const paths: readonly (readonly [PublicDataType, string])[] = [
    ['PublicKey', files.publicKey],
    'keySet' in files ? ['CompressedXofKeySet', files.keySet] : ['ServerKey', files.serverKey],
  ];
  const objects: Material[] = [];
  for (const [type, path] of paths) objects.push(await hashedObject(type, path, () => readFile(path)));
  await requireBelongs(files, key);
  return { objects: inOrder(objects), key, dispose: () => undefined };
}

/** Makes public objects for a key, with the id as their tag. A minute at production size. */
export async function newMaterial(key: FheKey, keyId: RequestId, layout: KeyLayout): Promise<KeyMaterial> {
  const options = { params: key.params, tag: idBytes(keyId), layout, provenance: 'imported' as const, existing: key };
  const made = await generateKeySet(options);
  const dispose = (): void => {
    made.key.dispose();
    for (const { bytes } of made.objects) bytes.dispose();
  };
  try {
    const tag = new TextEncoder().encode(HASH_TAG.key);
    const objects: Material[] = [];
    for (const { type, bytes } of made.objects) {
      objects.push({ type, digest: await bytes.digest(tag), bytes: () => chunksOf(bytes) });
    }
    return { objects: inOrder(objects), key: made.key, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

function inOrder(objects: readonly Material[]): Material[] {
  return [...objects].sort((a, b) => publicDataTypeNumber(a.type) - publicDataTypeNumber(b.type));
}

async function* chunksOf(bytes: NativeBytes): AsyncIterable<Uint8Array> {
  yield* bytes.chunks(READ_BYTES);
}

/**
 * Hashes a public object.
 *
 * @param name - For people.
 * @param read - Gives its bytes, each time it is asked.
 * @throws KmsError What `read` throws, `NOT_FOUND` for one that is missing.
 */
export async function hashedObject(
  type: PublicDataType,
  name: string,
  read: () => AsyncIterable<Uint8Array>,
): Promise<Material> {
  const tag = type === 'CRS' ? HASH_TAG.crs : HASH_TAG.key;
  const digest = await digestOf(read(), tag);
  return { type, digest, bytes: () => checked(read(), { digest, tag, name }) };
}

async function* checked(
  bytes: AsyncIterable<Uint8Array>,
  { digest, tag, name }: { readonly digest: Uint8Array; readonly tag: HashTag; readonly name: string },
): AsyncIterable<Uint8Array> {
  const hasher = new DomainHasher(tag);
  for await (const chunk of bytes) {
    hasher.update(chunk);
    yield chunk;
  }
  if (!equalBytes(hasher.digest(), digest)) throw new KmsError('ABORTED', `${name} changed while it was imported`);
}

async function digestOf(bytes: AsyncIterable<Uint8Array>, tag: HashTag): Promise<Uint8Array> {
  const hasher = new DomainHasher(tag);
  for await (const chunk of bytes) hasher.update(chunk);
  return hasher.digest();
}

/**
 * Checks that public objects belong to a key: the evaluation keys must make ciphertexts that it opens, squashed ones too;
 * and the public key must be theirs, as its proofs hold under them.
 *
 * @throws KmsError `KEY_INVALID` saying which of them does not.
 */
export async function requireBelongs(files: MaterialFiles, key: FheKey): Promise<void> {
  using keys = await loaded(() =>
    loadEvaluationKeys(
      'keySet' in files
        ? { compressedXofKeySetPath: files.keySet }
        : { serverKeyPath: files.serverKey, publicKeyPath: files.publicKey },
    ),
  );
  const squashed = await loaded(() => keys.encrypt(PROBE.value, PROBE.fheType, BIG_COMPRESSED));
  await requireOpens(key, squashed, BIG_COMPRESSED, 'the server-side keys');
  const [expanded] = await loaded(async () => {
    using crs = await smallCrs(key);
    return await proven(files.publicKey, keys, crs);
  });
  await requireOpens(key, expanded?.ciphertext, SMALL_EXPANDED, 'the public key');
}

async function proven(publicKeyPath: string, keys: EvaluationKeys, crs: Crs) {
  const metadata = new TextEncoder().encode('arca import');
  const list = await proveInput({ publicKey: { path: publicKeyPath }, crs, values: [PROBE], metadata });
  return await verifyAndExpand({ keys, crs, list, metadata });
}

/** A reference string for one value, made for this check alone. */
async function smallCrs(key: FheKey): Promise<Crs> {
  const { bytes } = await generateCrs({ params: key.params, maxNumBits: 8 });
  const folder = await mkdtemp(join(tmpdir(), 'arca-import-'));
  try {
    const path = join(folder, 'crs');
    const file = await open(path, 'wx', 0o600);
    try {
      for (const chunk of bytes.chunks(READ_BYTES)) await file.appendFile(chunk);
    } finally {
      await file.close();
    }
    return await loadCrs(path);
  } finally {
    bytes.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

async function requireOpens(key: FheKey, ciphertext: Uint8Array | undefined, format: number, what: string) {
  const item = { ciphertext: ciphertext ?? new Uint8Array(), fheType: PROBE.fheType, format };
  const [opened] = await loaded(() => publicDecrypt(key, [item]));
  if (opened?.byteLength === 1 && opened[0] === Number(PROBE.value)) return;
  throw new KmsError(
    'KEY_INVALID',
    `${what} do not belong to the client key: what they encrypt opens to something else`,
  );
}

/** Runs one step of the check; whatever the library finds wrong with the files means that they do not belong. */
async function loaded<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!isKmsError(error) || (error.code !== 'CIPHERTEXT_INVALID' && error.code !== 'REQUEST_INVALID')) throw error;
    const message = `the public objects do not belong to the client key, or not to each other: ${error.message}`;
    throw new KmsError('KEY_INVALID', message, {}, error);
  }
}
