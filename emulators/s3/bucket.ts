/**
 * What a bucket holds: objects with all their versions, and unfinished uploads. Every change is one synchronous step,
 * conditions included, so of two conditional writes exactly one finds its condition met.
 */
import { createHash } from 'node:crypto';
import type { ChecksumAlgorithm } from './checksums.ts';
import { S3Error } from './errors.ts';
import type { BucketPolicy } from './policy.ts';

/** A checksum as objects carry it. */
export interface ObjectChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: 'FULL_OBJECT' | 'COMPOSITE';
  readonly value: string;
}

/** One version of an object, or the mark that it was deleted. */
export interface Version {
  readonly versionId: string;
  readonly modifiedMs: number;
  /** Undefined: a delete marker. */
  readonly data: ObjectData | undefined;
}

/** Bytes of an object, in memory or in a file. */
export interface Content {
  readonly byteLength: number;
  subarray(start: number, end: number): Buffer;
}

/** The content of a version. */
export interface ObjectData {
  readonly content: Content;
  readonly etag: string;
  readonly checksum: ObjectChecksum;
  /** Headers that come back as they were sent: content type, cache control, user metadata. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A part of an unfinished upload. */
export interface Part {
  readonly content: Buffer;
  readonly etag: string;
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined;
  readonly modifiedMs: number;
}

/** An unfinished upload. */
export interface Upload {
  readonly uploadId: string;
  readonly key: string;
  readonly startedMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly type: ObjectChecksum['type'] } | undefined;
  readonly parts: Map<number, Part>;
}

/** What a write demands of the state that it replaces. */
export interface WriteCondition {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

/** What a bucket is, beside what it holds. */
export interface BucketSettings {
  readonly name: string;
  readonly region: string;
  readonly createdMs: number;
  readonly versioning: 'Off' | 'Enabled' | 'Suspended';
  readonly policy: BucketPolicy | undefined;
}

/** Keeps a bucket beyond the end of the process; each call is done when it returns. */
export interface BucketKeeper {
  settings(settings: BucketSettings): void;
  /** Returns the version as it is held from now on. */
  keep(key: string, version: Version): Version;
  drop(version: Version): void;
}

/** Keeps nothing. */
const IN_MEMORY: BucketKeeper = { settings: () => {}, keep: (_, version) => version, drop: () => {} };

/** A bucket. */
export class Bucket implements BucketSettings {
  readonly name: string;
  readonly region: string;
  readonly createdMs: number;
  readonly uploads = new Map<string, Upload>();
  /** Newest version first. */
  readonly #objects: Map<string, Version[]>;
  readonly #keeper: BucketKeeper;
  #versioning: BucketSettings['versioning'] = 'Off';
  #policy: BucketPolicy | undefined;

  constructor(
    name: string,
    region: string,
    createdMs: number,
    keeper: BucketKeeper = IN_MEMORY,
    objects: Map<string, Version[]> = new Map(),
  ) {
    this.name = name;
    this.region = region;
    this.createdMs = createdMs;
    this.#keeper = keeper;
    this.#objects = objects;
  }

  get versioning(): BucketSettings['versioning'] {
    return this.#versioning;
  }

  set versioning(versioning: BucketSettings['versioning']) {
    this.#versioning = versioning;
    this.#keeper.settings(this);
  }

  get policy(): BucketPolicy | undefined {
    return this.#policy;
  }

  set policy(policy: BucketPolicy | undefined) {
    this.#policy = policy;
    this.#keeper.settings(this);
  }

  /** Keys that have any version, in the order of S3: by their UTF-8 bytes. */
  keys(): string[] {
    return [...this.#objects.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  /** Versions of a key, newest first. */
  versions(key: string): readonly Version[] {
    return this.#objects.get(key) ?? [];
  }

  /** Whether nothing is left in it. */
  get empty(): boolean {
    return this.#objects.size === 0;
  }

  /** The newest content of a key, or undefined where there is none or it was deleted. */
  current(key: string): (Version & { readonly data: ObjectData }) | undefined {
    const [newest] = this.versions(key);
    return newest?.data ? { ...newest, data: newest.data } : undefined;
  }

  /** Puts content under a key if the condition holds, in one step. */
  put(key: string, data: ObjectData, condition: WriteCondition, version: { id: string; nowMs: number }): Version {
    this.demand(key, condition);
    return this.#add(key, { versionId: this.#versionId(version.id), modifiedMs: version.nowMs, data });
  }

  /** Deletes a key: a marker where there are versions, else for good. Returns the marker if one was set. */
  delete(key: string, condition: WriteCondition, version: { id: string; nowMs: number }): Version | undefined {
    if (condition.ifMatch !== undefined) this.demand(key, condition);
    if (this.versioning === 'Off') {
      for (const old of this.versions(key)) this.#keeper.drop(old);
      this.#objects.delete(key);
      return undefined;
    }
    return this.#add(key, { versionId: this.#versionId(version.id), modifiedMs: version.nowMs, data: undefined });
  }

  /** Removes one version for good. */
  deleteVersion(key: string, versionId: string): Version | undefined {
    const versions = this.#objects.get(key) ?? [];
    const found = versions.findIndex((version) => version.versionId === versionId);
    const [removed] = found < 0 ? [] : versions.splice(found, 1);
    if (versions.length === 0) this.#objects.delete(key);
    if (removed) this.#keeper.drop(removed);
    return removed;
  }

  /**
   * Checks a condition against the present state.
   *
   * @throws S3Error `PreconditionFailed`; `NoSuchKey` where something should match and nothing is there.
   */
  demand(key: string, { ifMatch, ifNoneMatch }: WriteCondition): void {
    const there = this.current(key);
    if (ifNoneMatch !== undefined) {
      if (ifNoneMatch !== '*') throw new S3Error('NotImplemented');
      if (there) throw new S3Error('PreconditionFailed', { Condition: 'If-None-Match' });
    }
    if (ifMatch !== undefined) {
      if (!there) throw new S3Error('NoSuchKey', { Key: key });
      if (ifMatch !== '*' && unquoted(ifMatch) !== there.data.etag) {
        throw new S3Error('PreconditionFailed', { Condition: 'If-Match' });
      }
    }
  }

  #versionId(fresh: string): string {
    return this.versioning === 'Enabled' ? fresh : 'null';
  }

  #add(key: string, version: Version): Version {
    const before = this.versions(key);
    // The version "null" is the one that is overwritten while versions are off or suspended.
    const kept = before.filter(({ versionId }) => versionId !== version.versionId);
    const added = this.#keeper.keep(key, version);
    this.#objects.set(key, [added, ...kept]);
    for (const old of before) if (!kept.includes(old)) this.#keeper.drop(old);
    return added;
  }
}

/** Returns an ETag without its quotation marks. */
export function unquoted(etag: string): string {
  return etag.trim().replace(/^"(.*)"$/, '$1');
}

/** Returns the ETag of an object that was put together from parts. */
export function multipartEtag(parts: readonly Part[]): string {
  const md5 = createHash('md5');
  for (const { etag } of parts) md5.update(Buffer.from(etag, 'hex'));
  return `${md5.digest('hex')}-${parts.length}`;
}
