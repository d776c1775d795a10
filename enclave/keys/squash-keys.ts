/**
 * Squashing keys of key sets, loaded when the first small ciphertext needs them.
 *
 * They are public, and gigabytes at production size: one load at a time, kept as long as the key's shares. Whoever could
 * change the file could choose what a share is made of, so nothing is loaded that this node has not signed the digest of.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import type * as Native from '../../native/engine/index.ts';
import type { SquashKeys } from '../../native/engine/index.ts';
import { DomainHasher, HASH_TAG } from '../../wire/hash.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { PublicDataType } from '../../wire/public-data.ts';
import type { ObjectDigest } from '../../wire/signed-payloads.ts';
import type { HeldShares } from './share-catalogue.ts';

/** What loading needs. */
export interface SquashKeyDeps {
  readonly native: Pick<typeof Native, 'loadSquashKeys'>;
  /** Path of a public object's file; undefined if this node keeps none. */
  readonly publicObject: (type: PublicDataType, id: RequestId) => string | undefined;
}

/** A public object that is read. */
interface Source extends ObjectDigest {
  readonly path: string;
}

interface Entry {
  /** Settles with the keys, or with why there are none. */
  readonly keys: Promise<SquashKeys>;
  /** State of the files that could not be used: while it stays, they are not read again. */
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
      const before = await stampsOf(sources);
      try {
        return await this.#read(held, sources, before);
      } catch (error) {
        entry.failedAt = before;
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

  async #read({ metadata }: HeldShares, sources: readonly Source[], before: string): Promise<SquashKeys> {
    for (const source of sources) await requireSigned(source, metadata.keyId);
    const [first, second] = sources.map(({ path }) => path);
    if (first === undefined) throw new KmsError('INTERNAL', 'no file to load squashing keys from');
    const keys = await this.#deps.native.loadSquashKeys(
      second === undefined ? { compressedXofKeySetPath: first } : { serverKeyPath: first, publicKeyPath: second },
    );
    if ((await stampsOf(sources)) === before) return keys;
    keys.dispose();
    throw new KmsError('UNAVAILABLE', 'the public key set changed while it was read: ask again');
  }

  /** The key set's file, or those of its server key and its public key. */
  #sources(held: HeldShares): readonly Source[] {
    if (this.#forgotten.has(held)) throw destroyed();
    const { metadata } = held;
    const { keyId, keyDigests } = metadata;
    const compressed = keyDigests.some(({ type }) => type === 'CompressedXofKeySet');
    const types = compressed ? (['CompressedXofKeySet'] as const) : (['ServerKey', 'PublicKey'] as const);
    return types.map((type) => {
      const digest = keyDigests.find((entry) => entry.type === type)?.digest;
      if (!digest) throw new KmsError('STATE_INVALID', `the metadata of the key names no ${type}`, { keyId });
      const path = this.#deps.publicObject(type, keyId);
      if (path === undefined) {
        const message = 'small ciphertexts need the public key set, of which this node keeps no copy';
        throw new KmsError('PRECONDITION_FAILED', message, { keyId });
      }
      return { type, digest, path };
    });
  }
}

function destroyed(): KmsError {
  return new KmsError('NOT_FOUND', 'the key was destroyed');
}

/** Which files these are and when they were last changed. A change of content cannot leave the change time as it was. */
async function stampsOf(sources: readonly Source[]): Promise<string> {
  const stamps = sources.map(async ({ path }) => {
    try {
      const { dev, ino, size, ctimeNs } = await stat(path, { bigint: true });
      return `${dev}:${ino}:${size}:${ctimeNs}`;
    } catch (error) {
      return systemErrorCode(error) ?? 'unreadable';
    }
  });
  return (await Promise.all(stamps)).join(' ');
}

async function requireSigned({ type, digest, path }: Source, keyId: RequestId): Promise<void> {
  const hasher = new DomainHasher(HASH_TAG.key);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) hasher.update(chunk);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    throw new KmsError('STATE_INVALID', `public object ${type}/${keyId} cannot be read: ${code}; restore it`);
  }
  if (equalBytes(hasher.digest(), digest)) return;
  throw new KmsError(
    'STATE_INVALID',
    `public object ${type}/${keyId} is not the one that this node signed; restore it`,
  );
}
