/**
 * Writes an object of any length: a small one in one request, a large one in parts, a few of them in memory at a
 * time. Until the last request nobody sees anything of it; what fails before is aborted.
 */
import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { KmsError } from '../../common/errors.ts';
import type { ObjectPath, ObjectTag } from '../storage.ts';
import type { Outcome } from './attempts.ts';
import { checkTag, conditions, type Expected, type S3Calls } from './calls.ts';
import { crc32Base64, RunningCrc32 } from './crc32.ts';

/** Parts that are on their way at a time, beside the one that is being filled. */
const PARTS_IN_FLIGHT = 2;
/** S3 takes no more. */
const MAX_PARTS = 10_000;

/** An object that is stored whole but for the request that gives it its name. */
export interface StagedObject {
  /** SHA-256 of the content. */
  readonly digest: Buffer;
  /** Gives it its name under a condition; may be called again after a condition failed. */
  publish(expected: Expected): Promise<Outcome<ObjectTag>>;
  /** Gives it up. */
  abort(): Promise<void>;
}

/** Takes a source up to its end. The source's own failures come out as they are, with nothing left behind. */
export async function stageObject(
  calls: S3Calls,
  path: ObjectPath,
  source: AsyncIterable<Uint8Array>,
  options: { readonly partBytes: number; readonly signal: AbortSignal | undefined },
): Promise<StagedObject> {
  const hash = createHash('sha256');
  const crc = new RunningCrc32();
  let upload: PartsUpload | undefined;
  let part = new Part(options.partBytes);
  let sizeBytes = 0;
  try {
    for await (const chunk of source) {
      hash.update(chunk);
      crc.update(chunk);
      sizeBytes += chunk.byteLength;
      for (let rest = chunk; rest.byteLength > 0; ) {
        if (part.full) {
          upload ??= await PartsUpload.start(calls, path, options.signal);
          await upload.add(part.bytes());
          part = new Part(options.partBytes);
        }
        rest = part.take(rest);
      }
    }
    const last = part.bytes();
    const digest = hash.digest();
    if (!upload) {
      const publish = (expected: Expected) => calls.put(path, last, expected, options.signal);
      return { digest, publish, abort: async () => undefined };
    }
    const parts = upload;
    await parts.add(last);
    await parts.settle();
    const publish = (expected: Expected) => parts.complete(expected, crc.base64(), sizeBytes);
    return { digest, publish, abort: () => parts.abort() };
  } catch (error) {
    await upload?.abort();
    throw error;
  }
}

/** A buffer that fills up; it grows, so that small objects take little. */
class Part {
  readonly #capacity: number;
  #buffer = new Uint8Array(0);
  #used = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get full(): boolean {
    return this.#used === this.#capacity;
  }

  /** Copies what fits and returns the rest. */
  take(chunk: Uint8Array): Uint8Array {
    const fits = chunk.subarray(0, this.#capacity - this.#used);
    const needed = this.#used + fits.byteLength;
    if (needed > this.#buffer.byteLength) {
      const grown = new Uint8Array(Math.min(this.#capacity, Math.max(needed, 2 * this.#buffer.byteLength)));
      grown.set(this.#buffer.subarray(0, this.#used));
      this.#buffer = grown;
    }
    this.#buffer.set(fits, this.#used);
    this.#used = needed;
    return chunk.subarray(fits.byteLength);
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#used);
  }
}

/** An upload in parts. */
export class PartsUpload {
  readonly #calls: S3Calls;
  readonly #path: ObjectPath;
  readonly #signal: AbortSignal | undefined;
  readonly #uploadId: string;
  readonly #parts: CompletedPart[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  #count = 0;
  #failure: { readonly error: unknown } | undefined;

  private constructor(calls: S3Calls, path: ObjectPath, uploadId: string, signal: AbortSignal | undefined) {
    this.#calls = calls;
    this.#path = path;
    this.#uploadId = uploadId;
    this.#signal = signal;
  }

  /** Begins one. */
  static async start(calls: S3Calls, path: ObjectPath, signal: AbortSignal | undefined): Promise<PartsUpload> {
    const { client, attempts, timeoutMs } = calls.options;
    const attempted = { operation: 'CreateMultipartUpload', action: 's3:PutObject', type: path[0] ?? '' };
    const input = { ...calls.at(path), ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' } as const;
    const send = (abortSignal: AbortSignal) => client.send(new CreateMultipartUploadCommand(input), { abortSignal });
    const { UploadId } = await attempts.get(attempted, send, { timeoutMs, signal });
    if (!UploadId) throw new KmsError('STATE_INVALID', 'S3 begins an upload without a name', { type: path[0] ?? '' });
    return new PartsUpload(calls, path, UploadId, signal);
  }

  /** Sends a part once there is room for it in flight. */
  async add(body: Uint8Array): Promise<void> {
    const number = ++this.#count;
    if (number > MAX_PARTS) {
      throw new KmsError('RESOURCE_EXHAUSTED', 'the object has too many parts: raise the size of parts', {
        type: this.#type,
      });
    }
    while (this.#inFlight.size >= PARTS_IN_FLIGHT) await Promise.race(this.#inFlight);
    this.#rethrow();
    const sent = this.#send(number, body)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#inFlight.delete(sent);
      });
    this.#inFlight.add(sent);
  }

  /** Waits until all parts have arrived. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight);
    this.#rethrow();
  }

  /** Makes the parts one object, under a condition. */
  async complete(expected: Expected, crc32: string, sizeBytes: number): Promise<Outcome<ObjectTag>> {
    const { client, attempts, bodyTimeoutMs } = this.#calls.options;
    const attempted = { operation: 'CompleteMultipartUpload', action: 's3:PutObject', type: this.#type };
    const parts = this.#parts.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    const send = async (abortSignal: AbortSignal): Promise<ObjectTag> => {
      const command = new CompleteMultipartUploadCommand({
        ...this.#calls.at(this.#path),
        UploadId: this.#uploadId,
        MultipartUpload: { Parts: parts },
        ChecksumCRC32: crc32,
        ChecksumType: 'FULL_OBJECT',
        MpuObjectSize: sizeBytes,
        ...conditions(expected),
      });
      return checkTag((await client.send(command, { abortSignal })).ETag, attempted);
    };
    return await attempts.run(attempted, send, { timeoutMs: bodyTimeoutMs, signal: this.#signal });
  }

  /** Gives up: what cannot be removed now goes by the bucket's rule for unfinished uploads. */
  async abort(): Promise<void> {
    await Promise.all(this.#inFlight);
    const { client, attempts, timeoutMs } = this.#calls.options;
    const attempted = { operation: 'AbortMultipartUpload', action: 's3:AbortMultipartUpload', type: this.#type };
    const input = { ...this.#calls.at(this.#path), UploadId: this.#uploadId };
    const send = (abortSignal: AbortSignal) => client.send(new AbortMultipartUploadCommand(input), { abortSignal });
    await attempts.run(attempted, send, { timeoutMs });
  }

  get #type(): string {
    return this.#path[0] ?? '';
  }

  #rethrow(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #send(number: number, body: Uint8Array): Promise<void> {
    const { client, attempts, bodyTimeoutMs } = this.#calls.options;
    const attempted = { operation: 'UploadPart', action: 's3:PutObject', type: this.#type };
    const ChecksumCRC32 = crc32Base64(body);
    const input = {
      ...this.#calls.at(this.#path),
      UploadId: this.#uploadId,
      PartNumber: number,
      Body: body,
      ChecksumCRC32,
    };
    const send = (abortSignal: AbortSignal) => client.send(new UploadPartCommand(input), { abortSignal });
    const { ETag } = await attempts.get(attempted, send, { timeoutMs: bodyTimeoutMs, signal: this.#signal });
    this.#parts.push({ PartNumber: number, ETag: checkTag(ETag, attempted), ChecksumCRC32 });
  }
}
