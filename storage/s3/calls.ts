/**
 * The few requests that a vault makes, with keys, checksums and time limits filled in. What comes back is checked:
 * the server is no more trusted than the network.
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
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

/** What {@link S3Calls} needs. */
export interface CallsOptions {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
  readonly attempts: Attempts;
  readonly timeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** How often an object that comes and goes is looked at. */
const MAX_LOOKS = 3;

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

  /** Looks at an object. Undefined where there is none, and only then. */
  async head(path: ObjectPath, signal?: AbortSignal): Promise<Head | undefined> {
    const { client, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'HeadObject', action: 's3:GetObject', type: path[0] ?? '' };
    const command = () => new HeadObjectCommand({ ...this.at(path), ChecksumMode: 'ENABLED' });
    for (let turn = 1; ; turn++) {
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
      if (await this.#isAbsent(path, signal)) return undefined;
      // It came into being in between.
      if (turn === MAX_LOOKS) throw outcome.failure.error;
    }
  }

  /** Whether there is no object, and nothing else the matter; throws whatever is. */
  async #isAbsent(path: ObjectPath, signal: AbortSignal | undefined): Promise<boolean> {
    const { client, attempts, timeoutMs } = this.options;
    const attempted = { operation: 'GetObject', action: 's3:GetObject', type: path[0] ?? '' };
    const command = () => new GetObjectCommand({ ...this.at(path), Range: 'bytes=0-0' });
    const outcome = await attempts.run(attempted, (abortSignal) => client.send(command(), { abortSignal }), {
      timeoutMs,
      signal,
    });
    if (outcome.ok) {
      destroyBody(outcome.value.Body);
      return false;
    }
    if (outcome.failure.code === 'NoSuchKey') return true;
    // An empty object has no first byte.
    if (outcome.failure.code === 'InvalidRange') return false;
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

/** The body of an answer. */
export function openedBody(body: unknown): OpenedBody {
  if (isOpenedBody(body)) return body;
  throw new KmsError('STATE_INVALID', 'S3 answers without a body');
}

function isOpenedBody(body: unknown): body is OpenedBody {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body && 'destroy' in body;
}

function destroyBody(body: unknown): void {
  if (isOpenedBody(body)) body.destroy();
}
