/**
 * Reads an object in one known state as a stream, going on where a connection broke, and compares it with its
 * checksum at the end.
 */
import { KmsError } from '../../common/errors.ts';
import type { ObjectPath } from '../storage.ts';
import { limited } from './attempts.ts';
import type { Head, OpenedBody, S3Calls } from './calls.ts';
import { RunningCrc32 } from './crc32.ts';
import { judge } from './failures.ts';

/** A connection that brought this much has earned a fresh count of attempts. */
const PROGRESS_BYTES = 1024 * 1024;

/**
 * Walks a part of an object. Nothing is open before the first chunk is asked for, nor once the walk ends.
 *
 * @throws KmsError `ABORTED` if the object is replaced meanwhile; `STATE_INVALID` if it came damaged.
 */
export async function* readObject(
  calls: S3Calls,
  path: ObjectPath,
  head: Head,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  const crc = head.crc32 !== undefined && start === 0 && end === head.sizeBytes ? new RunningCrc32() : undefined;
  const attempted = { operation: 'GetObject', action: 's3:GetObject', type: path[0] ?? '' };
  let at = start;
  let failures = 0;
  let failedAt = start;
  while (at < end) {
    let body: OpenedBody | undefined;
    try {
      body = await calls.openBody(path, head.tag, at, end);
      for await (const chunk of lively(body, calls.options.bodyTimeoutMs)) {
        if (chunk.byteLength > end - at) throw new KmsError('STATE_INVALID', 'S3 sent more than was asked for');
        at += chunk.byteLength;
        crc?.update(chunk);
        yield chunk;
      }
      if (at < end) throw new Error('the answer ended early');
    } catch (error) {
      const failure = judge(error, attempted);
      if (failure.code === 'PreconditionFailed' || failure.code === 'NoSuchKey') throw replaced(path, error);
      if (at - failedAt >= PROGRESS_BYTES) failures = 0;
      failedAt = at;
      if (!failure.retryable || ++failures >= calls.options.attempts.limit) throw failure.error;
      await calls.options.attempts.pause(failure, failures, undefined);
    } finally {
      body?.destroy();
    }
  }
  if (crc && crc.base64() !== head.crc32) {
    throw new KmsError('STATE_INVALID', 'the object came damaged: its checksum is another', { type: path[0] ?? '' });
  }
}

/**
 * Walks an object to its end even if its reader stops before: damage on the way is then told as damage, by the checksum at
 * the end, and never taken for other content.
 */
export async function* wholly(object: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (let step = await object.next(); !step.done; step = await object.next()) yield step.value;
  } finally {
    while (!(await object.next()).done);
  }
}

/** Walks a body; a silence that lasts too long is a failure. */
async function* lively(body: AsyncIterable<Uint8Array>, timeoutMs: number): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  for (;;) {
    const step = await limited(() => iterator.next(), timeoutMs);
    if (step.done) return;
    yield step.value;
  }
}

/** The failure of a reader whose object was replaced or removed under it. */
export function replaced(path: ObjectPath, cause?: unknown): KmsError {
  return new KmsError('ABORTED', 'the object was replaced while it was read', { type: path[0] ?? '' }, cause);
}
