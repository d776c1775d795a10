/**
 * Public material of a node over HTTP, and a cache of it below the state folder.
 *
 * An object enters the cache only when its bytes have the digest that the node signed; a cached one is trusted by
 * its name, which carries that digest.
 */
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { DomainHasher, HASH_TAG } from '../../../wire/hash.ts';
import { failure, hasCode } from '../framework/failure.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';

/** A public object with the digest that the node signed for it. */
export interface SignedObject {
  /** `PublicKey`, `CompressedXofKeySet`, `CRS`, … */
  readonly type: string;
  readonly id: string;
  readonly digest: Uint8Array;
}

/** Gets told how far a download is. */
export type OnDownload = (fraction: number, sizeBytes: number) => void;

/** Fetches a small text object. @throws {@link KmsError} `UNAVAILABLE` or `NOT_FOUND`. */
export async function fetchText(url: string): Promise<string> {
  const response = await request(url);
  return await response.text();
}

/**
 * Returns the path of an object in the cache; downloads and checks it first if it is not there.
 *
 * @throws {@link KmsError} `NOT_FOUND`, `UNAVAILABLE`, or `KEY_INVALID` if the bytes are not those signed.
 */
export async function cacheObject(
  { dir, publicUrl }: { readonly dir: string; readonly publicUrl: string },
  object: SignedObject,
  onDownload: OnDownload = () => {},
): Promise<string> {
  const folder = join(dir, STATE_FILES.cache, object.type);
  const path = join(folder, `${object.id}-${toHex(object.digest).slice(0, 16)}`);
  try {
    if ((await stat(path)).size > 0) return path;
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temp = `${path}.${process.pid}.new`;
  try {
    const digest = await download(`${publicUrl}/${object.type}/${object.id}`, temp, tagOf(object), onDownload);
    requireDigest(object, digest);
    await rename(temp, path);
    return path;
  } finally {
    await rm(temp, { force: true });
  }
}

/** Downloads an object without keeping it, and checks its digest. @throws {@link KmsError} as {@link cacheObject}. */
export async function checkObject(publicUrl: string, object: SignedObject): Promise<number> {
  const response = await request(`${publicUrl}/${object.type}/${object.id}`);
  const hasher = new DomainHasher(tagOf(object));
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    hasher.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  requireDigest(object, hasher.digest());
  return sizeBytes;
}

async function download(url: string, path: string, tag: 'PDAT_KEY' | 'PDAT_CRS', onDownload: OnDownload) {
  const response = await request(url);
  const totalBytes = Number(response.headers.get('content-length') ?? 0);
  const hasher = new DomainHasher(tag);
  const file = await open(path, 'wx', 0o600);
  try {
    let sizeBytes = 0;
    for await (const chunk of response.body ?? []) {
      hasher.update(chunk);
      await file.writeFile(chunk);
      sizeBytes += chunk.byteLength;
      if (totalBytes > 0) onDownload(sizeBytes / totalBytes, totalBytes);
    }
  } finally {
    await file.close();
  }
  return hasher.digest();
}

async function request(url: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { redirect: 'error' });
  } catch (error) {
    const cure = "see whether the node runs ('arca doctor'), or give its address with --public-url";
    throw failure('UNAVAILABLE', `cannot reach the public material at ${url}`, cure, { url }, error);
  }
  if (response.ok) return response;
  await response.body?.cancel();
  if (response.status === 404) {
    throw failure('NOT_FOUND', `the node has no public object ${url}`, "check the id: 'arca key list'", { url });
  }
  throw failure('UNAVAILABLE', `${url} answered HTTP ${response.status}`, "see 'arca doctor'", { url });
}

function requireDigest(object: SignedObject, found: Uint8Array): void {
  if (equalBytes(found, object.digest)) return;
  throw failure(
    'KEY_INVALID',
    `${object.type} ${object.id} has the digest ${toHex(found)}, but the node signed ${toHex(object.digest)}`,
    'do not use this material: it was changed on its way or on disk',
  );
}

function tagOf({ type }: SignedObject): 'PDAT_KEY' | 'PDAT_CRS' {
  return type === 'CRS' ? HASH_TAG.crs : HASH_TAG.key;
}
