/**
 * The few requests that a vault makes, with keys, checksums and time limits filled in. What comes back is checked:
 * the server is no more trusted than the network.
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { KmsError } from '../../common/errors.ts';
import type { ObjectPath, ObjectTag } from '../storage.ts';
import type { Attempts, Outcome } from './attempts.ts';
import { type Crc32, crc32Base64 } from './crc32.ts';
import type { Attempted } from './failures.ts';

/** The state that a write replaces; `any` asks nothing. */
export type Expected = { readonly tag: ObjectTag } | 'absent' | 'any';

/** What HEAD tells of an object. */
export interface Head {
  readonly sizeBytes: number;
  readonly tag: ObjectTag;
  /** Checksum of the whole object, where the server has one that we know. */
  readonly crc32: Crc32 | undefined;
}

/** An answer's body, opened. */
export interface OpenedBody extends AsyncIterable<Uint8Array> {
  destroy(): void;
}

/** One version of an object, or the mark that it was deleted. */
export interface ObjectVersion {
  readonly versionId: string;
  readonly current: boolean;
  readonly deleted: boolean;
  readonly sizeBytes: number;
  readonly modified: Date;
}

/** What {@link S3Calls} needs. */
export interface CallsOptions {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
  readonly attempts: Attempts;
  readonly timeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** More pages of a listing than any vault has: a server that never ends one is stopped here. */
const MAX_PAGES = 10_000;

/** Requests to one vault. */
export class S3Calls {
  readonly options: CallsOptions;

  constructor(options: CallsOptions) {
    this.options = options;
  }

  /** Bucket and key of an object, as every request wants them. */
  at(path: ObjectPath): { Bucket: string; Key: string } {
    return { Bucket: this.options.bucket, Key: [this.options.prefix, ...path].join('/') };
  }

  /** @throws KmsError unless the bucket is there, in this region, for this caller. */
  async headBucket(): Promise<void> {
    const { client, bucket, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'HeadBucket', action: 's3:ListBucket', type: '' };
    const head = (signal: AbortSignal) =>
      client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal: signal });
    const outcome = await attempts.run(attempted, head, { timeoutMs });
    if (outcome.ok) return;
    // The answer has no body, so no reason: ask for something that has one.
    await this.list([], { limit: 1 });
    throw outcome.failure.error;
  }

  /** Looks at an object. Undefined where there is none, and only then. */
  async head(path: ObjectPath, signal?: AbortSignal): Promise<Head | undefined> {
    const { client, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'HeadObject', action: 's3:GetObject', type: path[0] ?? '' };
    const command = () => new HeadObjectCommand({ ...this.at(path), ChecksumMode: 'ENABLED' });
    const outcome = await attempts.run(attempted, (abortSignal) => client.send(command(), { abortSignal }), {
      timeoutMs,
      signal,
    });
    if (outcome.ok) {
      const { ContentLength, ETag, ChecksumCRC32, ChecksumType } = outcome.value;
      const whole = ChecksumType !== 'COMPOSITE' && ChecksumCRC32 !== undefined && !ChecksumCRC32.includes('-');
      return { ...checkHead(ContentLength, ETag, attempted), crc32: whole ? ChecksumCRC32 : undefined };
    }
    const { status } = outcome.failure;
    if (status === undefined || status >= 500) throw outcome.failure.error;
    // An answer to HEAD has no body: no object, no bucket and no permission look alike. One to GET tells them apart.
    const why = await this.#whyNot(path, signal);
    if (why === 'NoSuchKey') return undefined;
    throw outcome.failure.error;
  }

  /** The code that the server gives for not handing out an object; throws what is no answer about the object. */
  async #whyNot(path: ObjectPath, signal: AbortSignal | undefined): Promise<string> {
    const { client, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'GetObject', action: 's3:GetObject', type: path[0] ?? '' };
    const command = () => new GetObjectCommand({ ...this.at(path), Range: 'bytes=0-0' });
    const outcome = await attempts.run(attempted, (abortSignal) => client.send(command(), { abortSignal }), {
      timeoutMs,
      signal,
    });
    if (outcome.ok) {
      destroyBody(outcome.value.Body);
      return 'ok';
    }
    if (outcome.failure.code === 'NoSuchKey') return 'NoSuchKey';
    throw outcome.failure.error;
  }

  /** Asks once for a part of an object in a known state. The caller destroys the body. */
  async openBody(path: ObjectPath, tag: ObjectTag, start: number, end: number): Promise<OpenedBody> {
    const { client } = this.options;
    const command = new GetObjectCommand({ ...this.at(path), IfMatch: tag, Range: `bytes=${start}-${end - 1}` });
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), this.options.timeoutMs);
    try {
      const { Body, ETag, ContentRange } = await client.send(command, { abortSignal: controller.signal });
      const body = openedBody(Body);
      if (ETag !== tag || !ContentRange?.startsWith(`bytes ${start}-${end - 1}/`)) {
        body.destroy();
        throw new KmsError('STATE_INVALID', 'S3 sent another part, or another state, than was asked for', {
          type: path[0] ?? '',
        });
      }
      return body;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Writes a small object, under a condition. */
  put(
    path: ObjectPath,
    content: Uint8Array,
    expected: Expected,
    signal: AbortSignal | undefined,
  ): Promise<Outcome<ObjectTag>> {
    const { client, attempts, bodyTimeoutMs } = this.options;
    const attempted = { operation: 'PutObject', action: 's3:PutObject', type: path[0] ?? '' };
    const ChecksumCRC32 = crc32Base64(content);
    const send = async (abortSignal: AbortSignal): Promise<ObjectTag> => {
      const command = new PutObjectCommand({ ...this.at(path), Body: content, ChecksumCRC32, ...conditions(expected) });
      return checkTag((await client.send(command, { abortSignal })).ETag, attempted);
    };
    return attempts.run(attempted, send, { timeoutMs: bodyTimeoutMs, signal });
  }

  /** Deletes an object, if it is still in the expected state. */
  delete(path: ObjectPath, expected: Expected): Promise<Outcome<unknown>> {
    const { client, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'DeleteObject', action: 's3:DeleteObject', type: path[0] ?? '' };
    const IfMatch = typeof expected === 'object' ? { IfMatch: expected.tag } : {};
    const send = (abortSignal: AbortSignal): Promise<unknown> =>
      client.send(new DeleteObjectCommand({ ...this.at(path), ...IfMatch }), { abortSignal });
    return attempts.run(attempted, send, { timeoutMs });
  }

  /** Lists names directly below a folder; `limit` stops early. */
  async list(folder: ObjectPath, { limit = Number.POSITIVE_INFINITY, signal }: ListOptions = {}): Promise<string[]> {
    const { client, bucket, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'ListObjectsV2', action: 's3:ListBucket', type: folder[0] ?? '' };
    const Prefix = `${[this.options.prefix, ...folder].join('/')}/`;
    const names = new Set<string>();
    let token: string | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const input = {
        Bucket: bucket,
        Prefix,
        Delimiter: '/',
        EncodingType: 'url' as const,
        ...(limit < 1000 && { MaxKeys: limit }),
        ...(token !== undefined && { ContinuationToken: token }),
      };
      const send = (abortSignal: AbortSignal) => client.send(new ListObjectsV2Command(input), { abortSignal });
      const answer = await attempts.get(attempted, send, { timeoutMs, signal });
      const encoded = answer.EncodingType === 'url';
      const keys = [
        ...(answer.Contents ?? []).map(({ Key }) => Key),
        ...(answer.CommonPrefixes ?? []).map((p) => p.Prefix),
      ];
      for (const key of keys) {
        const name = nameBelow(Prefix, encoded ? decodeKey(key ?? '') : (key ?? ''));
        if (name !== undefined) names.add(name);
      }
      const next = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
      if (next === undefined || names.size >= limit) return [...names].sort();
      if (next === token) break;
      token = next;
    }
    throw new KmsError('STATE_INVALID', 'S3 never ends the list of objects', { type: folder[0] ?? '' });
  }

  /** Lists the versions of one object, newest first. */
  async versions(path: ObjectPath): Promise<readonly ObjectVersion[]> {
    const { client, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'ListObjectVersions', action: 's3:ListBucketVersions', type: path[0] ?? '' };
    const { Bucket, Key } = this.at(path);
    const found: ObjectVersion[] = [];
    let marker: { KeyMarker?: string; VersionIdMarker?: string } = {};
    for (let page = 0; page < MAX_PAGES; page++) {
      const input = { Bucket, Prefix: Key, ...marker };
      const send = (abortSignal: AbortSignal) => client.send(new ListObjectVersionsCommand(input), { abortSignal });
      const answer = await attempts.get(attempted, send, { timeoutMs });
      const rows = [
        ...(answer.Versions ?? []).map((row) => ({ ...row, deleted: false })),
        ...(answer.DeleteMarkers ?? []).map((row) => ({ ...row, Size: 0, deleted: true })),
      ];
      for (const row of rows.filter((one) => one.Key === Key)) {
        found.push({
          versionId: row.VersionId ?? 'null',
          current: row.IsLatest === true,
          deleted: row.deleted,
          sizeBytes: row.Size ?? 0,
          modified: row.LastModified ?? new Date(0),
        });
      }
      const past = answer.NextKeyMarker === undefined || answer.NextKeyMarker > Key;
      if (answer.IsTruncated !== true || past) break;
      marker = {
        ...(answer.NextKeyMarker !== undefined && { KeyMarker: answer.NextKeyMarker }),
        ...(answer.NextVersionIdMarker !== undefined && { VersionIdMarker: answer.NextVersionIdMarker }),
      };
    }
    const newestFirst = (a: ObjectVersion, b: ObjectVersion): number =>
      Number(b.current) - Number(a.current) || b.modified.getTime() - a.modified.getTime();
    return found.sort(newestFirst);
  }

  /** Opens one version of an object, once. */
  async openVersion(path: ObjectPath, versionId: string): Promise<OpenedBody> {
    const { client, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'GetObjectVersion', action: 's3:GetObjectVersion', type: path[0] ?? '' };
    const command = () => new GetObjectCommand({ ...this.at(path), VersionId: versionId });
    const answer = await attempts.get(attempted, (abortSignal) => client.send(command(), { abortSignal }), {
      timeoutMs,
    });
    return openedBody(answer.Body);
  }
}

/** Settings of a listing. */
interface ListOptions {
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

/** The headers of a conditional write. */
export function conditions(expected: Expected): { IfMatch?: string; IfNoneMatch?: '*' } {
  if (expected === 'any') return {};
  return expected === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: expected.tag };
}

/** The tag of a state out of an answer. */
export function checkTag(tag: string | undefined, { type }: Attempted): ObjectTag {
  if (tag !== undefined && /^"[\x21\x23-\x7e]{1,256}"$/.test(tag)) return tag;
  throw new KmsError('STATE_INVALID', 'S3 answers without a usable ETag', { type });
}

function checkHead(sizeBytes: number | undefined, tag: string | undefined, attempted: Attempted): Omit<Head, 'crc32'> {
  if (sizeBytes === undefined || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw new KmsError('STATE_INVALID', 'S3 answers without a usable length', { type: attempted.type });
  }
  return { sizeBytes, tag: checkTag(tag, attempted) };
}

function openedBody(body: unknown): OpenedBody {
  if (isOpenedBody(body)) return body;
  throw new KmsError('STATE_INVALID', 'S3 answers without a body');
}

function isOpenedBody(body: unknown): body is OpenedBody {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body && 'destroy' in body;
}

function destroyBody(body: unknown): void {
  if (isOpenedBody(body)) body.destroy();
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return '';
  }
}

/** The first segment below a prefix; what hides or is empty is no name of ours. */
function nameBelow(prefix: string, key: string): string | undefined {
  if (!key.startsWith(prefix)) return undefined;
  const name = key.slice(prefix.length).split('/')[0] ?? '';
  return name === '' || name.startsWith('.') ? undefined : name;
}
