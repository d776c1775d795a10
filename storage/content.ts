/**
 * Walking and comparing object content chunk by chunk, so that no object is ever held whole.
 */
import { createHash } from 'node:crypto';
import { KmsError } from '../common/errors.ts';
import type { ObjectTag } from './storage.ts';

/** Returns the tag of a state for back ends whose store gives none: the digest of its content. */
export function contentTag(content: Uint8Array): ObjectTag {
  return createHash('sha256').update(content).digest('hex');
}

/** @throws {@link KmsError} `CANCELLED` if the signal has fired. */
export function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new KmsError('CANCELLED', 'the write was cancelled', {}, signal.reason);
}

/** Returns the source as a stream; bytes become a stream of one chunk. */
export function toStream(source: Uint8Array | AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return source instanceof Uint8Array ? single(source) : source;
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/**
 * Walks a stream until it ends or the signal fires, even while the stream is silent.
 *
 * @throws {@link KmsError} `CANCELLED` when the signal fires.
 */
export async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (!signal) {
    yield* source;
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  let reason: KmsError | undefined;
  let stopStep: (reason: KmsError) => void = () => undefined;
  const onAbort = (): void => {
    reason = new KmsError('CANCELLED', 'the write was cancelled', {}, signal.reason);
    stopStep(reason);
  };
  // No race with one promise of the abort: that would hold every chunk until the stream ends.
  const next = (): Promise<IteratorResult<Uint8Array>> =>
    new Promise((resolve, reject) => {
      stopStep = reject;
      if (reason) reject(reason);
      else iterator.next().then(resolve, reject);
    });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  let ended = false;
  try {
    while (true) {
      const step = await next();
      if (step.done) {
        ended = true;
        return;
      }
      yield step.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // A silent source may never answer `return`, so an abort does not wait for it.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

/** Returns whether two streams hold the same bytes, however they are cut into chunks. Stops at the first difference. */
export async function sameContent(a: AsyncIterable<Uint8Array>, b: AsyncIterable<Uint8Array>): Promise<boolean> {
  const left = a[Symbol.asyncIterator]();
  const right = b[Symbol.asyncIterator]();
  let ours: Uint8Array | undefined = new Uint8Array(0);
  let theirs: Uint8Array | undefined = new Uint8Array(0);
  try {
    while (true) {
      if (ours?.byteLength === 0) ours = await nextChunk(left);
      if (theirs?.byteLength === 0) theirs = await nextChunk(right);
      if (!ours || !theirs) return ours === theirs;
      const length = Math.min(ours.byteLength, theirs.byteLength);
      if (Buffer.compare(ours.subarray(0, length), theirs.subarray(0, length)) !== 0) return false;
      ours = ours.subarray(length);
      theirs = theirs.subarray(length);
    }
  } finally {
    await Promise.all([left.return?.(), right.return?.()]);
  }
}

async function nextChunk(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  while (true) {
    const step = await iterator.next();
    if (step.done) return undefined;
    if (step.value.byteLength > 0) return step.value;
  }
}
