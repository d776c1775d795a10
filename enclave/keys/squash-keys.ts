/**
 * Squashing keys of key sets, loaded when the first small ciphertext needs them.
 *
 * They are public, and gigabytes at production size: one load at a time, kept as long as the key's shares. Whoever could
 * change the file could choose what a share is made of, so nothing is loaded that this node has not signed the digest of.
 */
import { createReadStream } from 'node:fs';
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError, systemErrorCode } from '../../common/errors.ts';
import type * as Native from '../../native/engine/index.ts';
import type { SquashKeys } from '../../native/engine/index.ts';
import { DomainHasher, HASH_TAG } from '../../wire/hash.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { ObjectDigest } from '../../wire/signed-payloads.ts';
import type { PublicFiles } from './public-files.ts';
import type { HeldShares } from './share-catalogue.ts';

/** What loading needs. */
export interface SquashKeyDeps {
  readonly native: Pick<typeof Native, 'loadSquashKeys'>;
  /** Undefined if this node keeps no public objects. */
  readonly publicFiles: PublicFiles | undefined;
}

/** The public objects that are read. */
interface Sources {
  readonly files: PublicFiles;
  readonly keyId: RequestId;
  readonly objects: readonly (ObjectDigest & { readonly type: 'CompressedXofKeySet' | 'ServerKey' | 'PublicKey' })[];
}

interface Entry {
  /** Settles with the keys, or with why there are none. */
  readonly keys: Promise<SquashKeys>;
  /** State of the objects that could not be used: while it stays, they are not read again. */
  failedAt?: string;
}

/** Pieces are small: hashing shares the event loop with decryptions. */
const READ_BYTES = 256 * 1024;

/** See the file comment. */
export class SquashKeyLoader {
  readonly #deps: SquashKeyDeps;
  readonly #entries = new Map<HeldShares, Entry>();
  /** Requests that found a key before it was destroyed may still come here. */
  readonly #forgotten = new WeakSet<HeldShares>();
  #tail: Promise<unknown> = Promise.resolve();

  constructor(deps: SquashKeyDeps) {
    this.#deps = deps;
  }

  /**
   * Returns the squashing keys of a key set; all callers share one load. After a failure the files are read again once
   * they have changed.
   *
   * @throws KmsError `PRECONDITION_FAILED` if this node keeps no public objects; `STATE_INVALID` naming the one that is
   *   missing or is not what this node signed; `UNAVAILABLE` if it changed while it was read.
   */
  async load(held: HeldShares): Promise<SquashKeys> {
    const sources = this.#sources(held);
    const known = this.#entries.get(held);
    if (known && (known.failedAt === undefined || known.failedAt === (await stampsOf(sources)))) {
      return await known.keys;
    }
    // Another caller may have come first while the files were looked at.
    const other = this.#entries.get(held);
    if (other && other !== known) return await other.keys;
    if (this.#forgotten.has(held)) throw destroyed();
    const keys = this.#tail.then(async () => {
      let before = 'not looked at';
      try {
        before = await stampsOf(sources);
        return await this.#read(sources, before);
      } catch (error) {
        entry.failedAt = isPassing(error) ? 'it may pass' : before;
        throw error;
      }
    });
    const entry: Entry = { keys };
    this.#entries.set(held, entry);
    this.#tail = keys.catch(() => undefined); // told to whoever asked for them
    return await keys;
  }

  /** Frees the keys of a key set; those that are being loaded, as soon as they are there. */
  forget(held: HeldShares): void {
    this.#forgotten.add(held);
    const entry = this.#entries.get(held);
    this.#entries.delete(held);
    entry?.keys.then(
      (keys) => keys.dispose(),
      () => undefined, // told to whoever asked for them
    );
  }

  async #read(sources: Sources, before: string): Promise<SquashKeys> {
    await using taken = new AsyncDisposableStack();
    const paths: string[] = [];
    for (const { type, digest } of sources.objects) {
      const { path } = taken.use(await sources.files.take(type, sources.keyId));
      await requireSigned(path, digest, `${type}/${sources.keyId}`);
      paths.push(path);
    }
    const [first, second] = paths;
    if (first === undefined) throw new KmsError('INTERNAL', 'no file to load squashing keys from');
    const keys = await this.#deps.native.loadSquashKeys(
      second === undefined ? { compressedXofKeySetPath: first } : { serverKeyPath: first, publicKeyPath: second },
    );
    if ((await stampsOf(sources)) === before) return keys;
    keys.dispose();
    throw new KmsError('UNAVAILABLE', 'the public key set changed while it was read: ask again');
  }

  /** The key set, or its server key and its public key. */
  #sources(held: HeldShares): Sources {
    if (this.#forgotten.has(held)) throw destroyed();
    const { publicFiles: files } = this.#deps;
    const { keyId, keyDigests } = held.metadata;
    const compressed = keyDigests.some(({ type }) => type === 'CompressedXofKeySet');
    const types = compressed ? (['CompressedXofKeySet'] as const) : (['ServerKey', 'PublicKey'] as const);
    const objects = types.map((type) => {
      const digest = keyDigests.find((entry) => entry.type === type)?.digest;
      if (!digest) throw new KmsError('STATE_INVALID', `the metadata of the key names no ${type}`, { keyId });
      return { type, digest };
    });
    if (files) return { files, keyId, objects };
    const message = 'small ciphertexts need the public key set, of which this node keeps no copy';
    throw new KmsError('PRECONDITION_FAILED', message, { keyId });
  }
}

function destroyed(): KmsError {
  return new KmsError('NOT_FOUND', 'the key was destroyed');
}

/** Whether the storage failed, and not what was in it. */
function isPassing(error: unknown): boolean {
  return isKmsError(error, 'UNAVAILABLE') || isKmsError(error, 'PERMISSION_DENIED') || isKmsError(error, 'ABORTED');
}

/** Which objects these are and in which state. */
async function stampsOf({ files, keyId, objects }: Sources): Promise<string> {
  return (await Promise.all(objects.map(({ type }) => files.stamp(type, keyId)))).join(' ');
}

async function requireSigned(path: string, digest: Uint8Array, name: string): Promise<void> {
  const hasher = new DomainHasher(HASH_TAG.key);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) hasher.update(chunk);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    throw new KmsError('STATE_INVALID', `public object ${name} cannot be read: ${code}; restore it`);
  }
  if (equalBytes(hasher.digest(), digest)) return;
  throw new KmsError('STATE_INVALID', `public object ${name} is not the one that this node signed; restore it`);
}
