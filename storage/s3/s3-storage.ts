/**
 * Objects in S3: `s3://bucket/<prefix>/<segment>/…/<segment>`.
 *
 * Every write states which state it replaces, so a request that is repeated, late or raced by another server changes
 * nothing that it did not see. Whether the store keeps to that is probed when the vault is opened. Bytes only: what is
 * private was sealed before. Guide: docs/operators/storage.md.
 */
import { equalBytes, toHex } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import { abortable, refuseAborted, sameContent, toStream } from '../content.ts';
import {
  checkFolder,
  checkPath,
  MAX_WHOLE_BYTES,
  movedOn,
  notFound,
  type ObjectPath,
  type ObjectTag,
  otherContent,
  refuseLarger,
  resolveRange,
  type Storage,
  type TaggedObject,
} from '../storage.ts';
import { Turns } from '../turns.ts';
import { Attempts, type Sleep } from './attempts.ts';
import { type Head, S3Calls } from './calls.ts';
import { makeClient } from './client.ts';
import { listNames, listVersions, type ObjectVersion, openVersion } from './listing.ts';
import type { S3StorageOptions } from './options.ts';
import { type Fences, probeFences } from './probe.ts';
import { conditionFailed, createObject, MAX_TURNS, replaceObject } from './publish.ts';
import { readObject, wholly } from './read.ts';
import { stageObject } from './upload.ts';

/** A vault in S3. */
export interface S3Storage extends Storage {
  /** Versions of an object, newest first, deletions among them; one alone where the bucket keeps none. */
  versions(path: ObjectPath): Promise<readonly ObjectVersion[]>;
  /**
   * Reads an old version, once and from its beginning.
   *
   * @throws KmsError `NOT_FOUND`.
   */
  openVersion(path: ObjectPath, versionId: string): Promise<AsyncIterable<Uint8Array>>;
  /** Size, tag and checksum of an object's present state, without reading it; undefined if there is none. */
  stamp(path: ObjectPath): Promise<string | undefined>;
  /** Closes its connections. */
  close(): void;
}

/** What the back end takes from outside; tests pass their own. */
export interface S3StorageDeps {
  readonly log?: Logger;
  readonly random?: RandomSource;
  readonly sleep?: Sleep;
}

/**
 * Opens a vault: checks that the bucket can be used and that its server keeps to conditional writes.
 *
 * @throws KmsError `CONFIG_INVALID`, `PERMISSION_DENIED`, `UNAVAILABLE`, `STATE_INVALID`, each with its cure;
 *   `PRECONDITION_FAILED` if the server overwrites what it must not, unless developer mode takes that.
 */
export async function openS3Storage(options: S3StorageOptions, deps: S3StorageDeps = {}): Promise<S3Storage> {
  const { log, random = systemRandom, sleep } = deps;
  const client = makeClient(options);
  const { bucket, prefix, timeoutMs = 30_000, bodyTimeoutMs = 60_000 } = options;
  const attempts = new Attempts({
    attempts: options.attempts ?? 5,
    random,
    ...(sleep && { sleep }),
    onRetry: ({ error }, attempt, pauseMs) => log?.warn({ event: 's3.retry', ...error.facts, attempt, pauseMs }),
  });
  const calls = new S3Calls({ client, bucket, prefix, attempts, timeoutMs, bodyTimeoutMs });
  try {
    const { readOnly = options.credentials === 'anonymous' } = options;
    const fences = readOnly ? undefined : await checkBucket(calls, options, random, log);
    return new S3Vault(calls, fences, options.partBytes ?? 2 ** 23, () => client.destroy());
  } catch (error) {
    client.destroy();
    throw error;
  }
}

async function checkBucket(
  calls: S3Calls,
  { developer }: S3StorageOptions,
  random: RandomSource,
  log: Logger | undefined,
): Promise<Fences> {
  // HEAD of the bucket would do, but its answer has no body, so no reason.
  await listNames(calls, [], { limit: 1 });
  const fences = await probeFences(calls, toHex(random(16)));
  if (fences.writes) return fences;
  const findings = fences.findings.join('; ');
  if (!developer?.allowUnfenced) {
    const message = `the S3 server does not keep to conditional writes (${findings}): two servers could overwrite each other; use another server`;
    throw new KmsError('PRECONDITION_FAILED', message);
  }
  log?.warn({ event: 'storage.unfenced', findings });
  return fences;
}

class S3Vault implements S3Storage {
  readonly fenced: boolean;
  readonly #calls: S3Calls;
  /** Undefined: opened for reading only. */
  readonly #fences: Fences | undefined;
  readonly #partBytes: number;
  readonly #turns = new Turns();
  readonly close: () => void;

  constructor(calls: S3Calls, fences: Fences | undefined, partBytes: number, close: () => void) {
    this.#calls = calls;
    this.#fences = fences;
    this.#partBytes = partBytes;
    this.fenced = fences?.writes ?? false;
    this.close = close;
  }

  async put(...[path, source, options = {}]: Parameters<Storage['put']>): Promise<'stored' | 'already'> {
    const { replace = false, signal } = options;
    this.#checkWrite(path, signal);
    const [there] = await Promise.all([replace ? undefined : this.#head(path, signal), this.#refuseFolderClash(path)]);
    const stream = abortable(toStream(source), signal);
    if (there) return await this.#compare(path, there, stream);
    const staged = await stageObject(this.#calls, path, stream, { partBytes: this.#partBytes, signal });
    try {
      const target = { calls: this.#calls, fenced: this.fenced, path };
      const publish = () => (replace ? replaceObject(target, staged) : createObject(target, staged));
      return await (this.fenced ? publish() : this.#inTurn(path, publish));
    } catch (error) {
      await staged.abort();
      throw error;
    }
  }

  async swap(...[path, content, expected, options = {}]: Parameters<Storage['swap']>): Promise<ObjectTag> {
    const { signal } = options;
    this.#checkWrite(path, signal);
    if (expected === undefined) await this.#refuseFolderClash(path);
    else if (!/^"[\x21\x23-\x7e]*"$/.test(expected)) throw movedOn(path);
    const swapped = async (): Promise<ObjectTag> => {
      if (!this.fenced && (await this.#head(path, signal))?.tag !== expected) throw movedOn(path);
      const condition = expected === undefined ? 'absent' : { tag: expected };
      const outcome = await this.#calls.put(path, content, this.fenced ? condition : 'any', signal);
      if (outcome.ok) return outcome.value;
      if (!conditionFailed(outcome)) throw outcome.failure.error;
      // An attempt whose answer was lost may have been the one that moved it.
      const now = outcome.ambiguous ? await this.getTagged(path).catch(unlessNotFound) : undefined;
      if (now && equalBytes(now.content, content)) return now.tag;
      throw movedOn(path, outcome.failure.error);
    };
    return await (this.fenced ? swapped() : this.#inTurn(path, swapped));
  }

  async get(path: ObjectPath, maxBytes?: number): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.getTagged(path, maxBytes)).content;
  }

  async getTagged(path: ObjectPath, maxBytes = MAX_WHOLE_BYTES): Promise<TaggedObject> {
    for (let turn = 1; ; turn++) {
      const head = await this.#head(path);
      if (!head) throw notFound(path);
      refuseLarger(path, head.sizeBytes, maxBytes);
      try {
        const content = new Uint8Array(head.sizeBytes);
        let at = 0;
        for await (const chunk of readObject(this.#calls, path, head, 0, head.sizeBytes)) {
          content.set(chunk, at);
          at += chunk.byteLength;
        }
        return { content, tag: head.tag };
      } catch (error) {
        if (!isKmsError(error, 'ABORTED') || turn === MAX_TURNS) throw error;
      }
    }
  }

  async open(...[path, range]: Parameters<Storage['open']>): ReturnType<Storage['open']> {
    const head = await this.#head(path);
    if (!head) throw notFound(path);
    const { start, end } = resolveRange(head.sizeBytes, range);
    return { sizeBytes: head.sizeBytes, stream: readObject(this.#calls, path, head, start, end) };
  }

  async has(path: ObjectPath): Promise<boolean> {
    return (await this.#head(path)) !== undefined;
  }

  async size(path: ObjectPath): Promise<number | undefined> {
    return (await this.#head(path))?.sizeBytes;
  }

  async list(folder: ObjectPath): Promise<string[]> {
    return await listNames(this.#calls, checkFolder(folder));
  }

  async delete(path: ObjectPath): Promise<boolean> {
    this.#checkWrite(path, undefined);
    for (let turn = 1; ; turn++) {
      const there = await this.#head(path);
      if (!there) return false;
      const outcome = await this.#calls.delete(path, this.#fences?.deletions ? there : 'any');
      if (outcome.ok || (outcome.ambiguous && outcome.failure.code === 'NoSuchKey')) return true;
      if (!conditionFailed(outcome) || turn === MAX_TURNS) throw outcome.failure.error;
    }
  }

  async versions(path: ObjectPath): Promise<readonly ObjectVersion[]> {
    return await listVersions(this.#calls, checkPath(path));
  }

  async openVersion(path: ObjectPath, versionId: string): Promise<AsyncIterable<Uint8Array>> {
    return await openVersion(this.#calls, checkPath(path), versionId);
  }

  async stamp(path: ObjectPath): Promise<string | undefined> {
    const head = await this.#head(path);
    return head && `${head.sizeBytes}:${head.tag}:${head.crc32 ?? ''}`;
  }

  #head(path: ObjectPath, signal?: AbortSignal): Promise<Head | undefined> {
    return this.#calls.head(checkPath(path), signal);
  }

  #checkWrite(path: ObjectPath, signal: AbortSignal | undefined): void {
    checkPath(path);
    refuseAborted(signal);
    if (!this.#fences) throw new KmsError('PRECONDITION_FAILED', 'this vault was opened for reading');
  }

  #inTurn<T>(path: ObjectPath, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(path.join('/'), work);
  }

  /** A name is an object or a folder, never both, as on a file system; S3 itself would take it. */
  async #refuseFolderClash(path: ObjectPath): Promise<void> {
    const parents = path.slice(1).map((_, index) => this.has(path.slice(0, index + 1)));
    const inside = listNames(this.#calls, path, { limit: 1 });
    const [names, ...objects] = await Promise.all([inside, ...parents]);
    if (names.length > 0 || objects.includes(true)) {
      throw new KmsError('STATE_INVALID', 'a folder and an object cannot have one name', { type: path[0] ?? '' });
    }
  }

  async #compare(path: ObjectPath, head: Head, stream: AsyncIterable<Uint8Array>): Promise<'already'> {
    const stored = wholly(readObject(this.#calls, path, head, 0, head.sizeBytes));
    if (await sameContent(stored, stream)) return 'already';
    throw otherContent(path);
  }
}

function unlessNotFound(error: unknown): undefined {
  if (!isKmsError(error, 'NOT_FOUND')) throw error;
}
