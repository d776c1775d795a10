/**
 * Objects by name, on whatever keeps them. Back ends see bytes only; what is secret in them is the caller's
 * business (private objects will be sealed before they come here).
 *
 * Every back end passes one contract test suite: test/unit/storage/contract.ts.
 */
import { KmsError } from '../common/errors.ts';

/** Where an object lies below its vault's prefix, outermost folder first: `['PublicKey', keyId]`. */
export type ObjectPath = readonly string[];

/** Part of an object: `length` bytes from `offset`, or all that follow when no length is given. */
export interface ByteRange {
  readonly offset: number;
  readonly length?: number;
}

/** An object opened for reading. */
export interface OpenedObject {
  /** Size of the whole object, whatever range was asked for. */
  readonly sizeBytes: number;
  /** The bytes asked for. May be walked once; holds nothing open before the first chunk is asked for. */
  readonly stream: AsyncIterable<Uint8Array>;
}

/**
 * Names one state of an object. Opaque: only ever compared for equality. Two states of equal content may bear the same
 * tag, so content that is swapped carries a counter and its writer, and never repeats.
 */
export type ObjectTag = string;

/** A whole object and the state that it was read in. */
export interface TaggedObject {
  /** In an ArrayBuffer of its own, which the caller may wipe. */
  readonly content: Uint8Array<ArrayBuffer>;
  readonly tag: ObjectTag;
}

/** Settings of one write. */
export interface PutOptions {
  /** Take the place of an object with other content, at one instant. Off: other content is never overwritten. */
  readonly replace?: boolean;
  /** Gives up and leaves nothing behind. */
  readonly signal?: AbortSignal;
}

/**
 * A vault's back end. Writes are atomic and durable once they return: after a crash an object is there whole or
 * not at all.
 */
export interface Storage {
  /**
   * Whether writers in different processes, on different machines, cannot overwrite each other unnoticed. A production
   * vault needs it; without it only the writers of this one process are kept apart.
   */
  readonly fenced: boolean;
  /**
   * Writes an object. A stream is not held in memory.
   *
   * @returns `already` if an object of equal content was there, which is then left untouched; never with `replace`.
   * @throws {@link KmsError} `ALREADY_EXISTS` if other content is there; `STORAGE_FULL` if it does not fit (what was
   *   written of it is removed); `CANCELLED` by the signal; `REQUEST_INVALID` for a bad path.
   */
  put(
    path: ObjectPath,
    source: Uint8Array | AsyncIterable<Uint8Array>,
    options?: PutOptions,
  ): Promise<'stored' | 'already'>;
  /**
   * Returns a whole object in an ArrayBuffer of its own, which the caller may wipe.
   *
   * @param maxBytes - Largest that is read; none of a larger object is.
   * @throws {@link KmsError} `NOT_FOUND`; `RESOURCE_EXHAUSTED` for a larger object.
   */
  get(path: ObjectPath, maxBytes?: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * As {@link get}, with the tag of what was read.
   *
   * @throws {@link KmsError} `NOT_FOUND`; `RESOURCE_EXHAUSTED` for a larger object.
   */
  getTagged(path: ObjectPath, maxBytes?: number): Promise<TaggedObject>;
  /**
   * Replaces an object only if it is still in the state that the caller last saw: compare-and-swap, for the head of a
   * chain that two servers may want to move. Of many that expect the same state at most one succeeds.
   *
   * @param expected - Tag of the state to replace; undefined: there is no such object yet.
   * @returns The tag of the new state.
   * @throws {@link KmsError} `ABORTED` if it is in any other state: read it again, somebody else moved it.
   */
  swap(
    path: ObjectPath,
    content: Uint8Array,
    expected: ObjectTag | undefined,
    options?: { readonly signal?: AbortSignal },
  ): Promise<ObjectTag>;
  /**
   * Opens an object for streaming.
   *
   * @throws {@link KmsError} `NOT_FOUND`; `REQUEST_INVALID` for a range outside of the object.
   */
  open(path: ObjectPath, range?: ByteRange): Promise<OpenedObject>;
  /** Returns whether the object exists. */
  has(path: ObjectPath): Promise<boolean>;
  /** Returns the object's size, or undefined if there is none. */
  size(path: ObjectPath): Promise<number | undefined>;
  /** Returns the sorted names directly below a folder, objects and non-empty folders alike; none if it is absent. */
  list(folder: ObjectPath): Promise<string[]>;
  /** Removes an object. Returns whether there was one. */
  delete(path: ObjectPath): Promise<boolean>;
}

/** The failure of {@link Storage.swap} where somebody else was first. */
export function movedOn(path: ObjectPath, cause?: unknown): KmsError {
  const message = 'the object is not in the state that this write expects: somebody else wrote it';
  return new KmsError('ABORTED', message, { type: path[0] ?? '' }, cause);
}

/** The failure of every read of what is not there. */
export function notFound(path: ObjectPath, cause?: unknown): KmsError {
  return new KmsError('NOT_FOUND', 'no such object', { type: path[0] ?? '' }, cause);
}

/** Refuses to read an object as a whole that is larger than it may be. @throws {@link KmsError} `RESOURCE_EXHAUSTED`. */
export function refuseLarger(path: ObjectPath, sizeBytes: number, maxBytes: number): void {
  if (sizeBytes <= maxBytes) return;
  const facts = { type: path[0] ?? '', sizeBytes, maxBytes };
  throw new KmsError('RESOURCE_EXHAUSTED', 'the object is too large to be read as a whole', facts);
}

/** The failure of a first write where other content is already. */
export function otherContent(path: ObjectPath): KmsError {
  return new KmsError('ALREADY_EXISTS', 'an object of other content is already there', { type: path[0] ?? '' });
}

/** Names of folders, objects and prefixes: no separators, no leading dot, so nothing climbs and nothing hides. */
const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const MAX_DEPTH = 8;
/** Largest object that is read as a whole. */
export const MAX_WHOLE_BYTES: number = 2 ** 32;

/**
 * Checks every segment of an object's path and hands it back.
 *
 * @throws {@link KmsError} `REQUEST_INVALID`. The offending text is not repeated: it may come from a request.
 */
export function checkPath(path: ObjectPath): ObjectPath {
  if (path.length === 0) throw new KmsError('REQUEST_INVALID', 'an object path needs at least one segment');
  return checkFolder(path);
}

/** As {@link checkPath}, but the empty path is the vault itself. */
export function checkFolder(path: ObjectPath): ObjectPath {
  if (path.length > MAX_DEPTH) {
    throw new KmsError('REQUEST_INVALID', `an object path has at most ${MAX_DEPTH} segments`, {
      segments: path.length,
    });
  }
  for (const [index, segment] of path.entries()) {
    if (!SEGMENT.test(segment)) {
      throw new KmsError(
        'REQUEST_INVALID',
        'a path segment needs 1 to 128 letters, digits, dots, dashes or underscores, the first a letter or digit',
        { segment: index },
      );
    }
  }
  return path;
}

/**
 * Resolves a range against an object's size.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` unless the whole range lies within the object.
 */
export function resolveRange(sizeBytes: number, range: ByteRange = { offset: 0 }): { start: number; end: number } {
  const { offset, length = sizeBytes - offset } = range;
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!whole || offset + length > sizeBytes) {
    throw new KmsError('REQUEST_INVALID', 'the byte range lies outside of the object', { offset, length, sizeBytes });
  }
  return { start: offset, end: offset + length };
}
