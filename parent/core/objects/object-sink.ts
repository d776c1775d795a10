/**
 * Takes the public objects that the engine streams and puts them into public storage, digest checked on the way.
 *
 * One sink serves one generation and remembers what it put there, so that a failed one leaves nothing behind.
 */
import { equalBytes } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import type { ObjectPath, Storage } from '../../../storage/storage.ts';
import type { ObjectHead, ObjectSink, ObjectWriter } from '../engine-client/engine-client.ts';
import { isObjectName } from '../http/object-address.ts';
import { startPublicDigest } from './public-digest.ts';
import type { PublicObjects } from './public-objects.ts';
import { removeStaged, stagedPath } from './staged-objects.ts';

/** A sink that can take back what it stored. */
export interface GenerationSink extends ObjectSink {
  /** Removes what this sink stored; what was there before stays. */
  discard(): Promise<void>;
}

/** Opens the sink of one generation. Objects of an older key wait until {@link promoteStaged}. */
export function openGenerationSink(storage: Storage, objects: PublicObjects, generationId: string): GenerationSink {
  const stored: { type: string; id: string }[] = [];
  return {
    async start(head) {
      const { type, id } = head;
      if (!isObjectName(type, id)) {
        throw new KmsError('REQUEST_INVALID', 'the engine sent an object of no known type or id');
      }
      // An object of another id changes an older key: not before the engine has committed. One that may not replace
      // what is there goes straight to the comparison that refuses it.
      if (id !== generationId && (head.replace || !(await storage.has([type, id])))) {
        return startWriter(storage, stagedPath(generationId, type, id), head, async () => undefined);
      }
      return startWriter(storage, [type, id], head, async (outcome, digest) => {
        if (outcome === 'stored') stored.push({ type, id });
        await objects.remember(type, id, digest);
      });
    },
    async discard() {
      await removeStaged(storage, generationId);
      for (const { type, id } of stored.splice(0)) await objects.remove(type, id);
    },
  };
}

/** Turns pushed chunks into the stream that a storage wants, one chunk ahead, and checks size and digest. */
function startWriter(
  storage: Storage,
  path: ObjectPath,
  head: ObjectHead,
  onStored: (outcome: 'stored' | 'already', digest: Uint8Array) => Promise<void>,
): ObjectWriter {
  const stop = new AbortController();
  const digest = startPublicDigest(head.type);
  let sizeBytes = 0;
  let next = Promise.withResolvers<Uint8Array | undefined>();
  let taken = Promise.withResolvers<void>();
  let expected: Uint8Array | undefined;

  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await next.promise;
      if (chunk === undefined) break;
      next = Promise.withResolvers();
      sizeBytes += chunk.byteLength;
      if (sizeBytes > head.sizeBytes) throw new KmsError('ABORTED', 'the object is longer than announced');
      digest.update(chunk);
      yield chunk; // back here once the storage wants more, so it is done with this one
      taken.resolve();
    }
    if (sizeBytes !== head.sizeBytes) throw new KmsError('ABORTED', 'the object is shorter than announced');
    if (expected === undefined || !equalBytes(digest.digest(), expected)) {
      throw new KmsError('ABORTED', 'the object does not have the digest that the engine announced');
    }
  }

  const put = storage.put(path, chunks(), { signal: stop.signal });
  put.catch(() => undefined); // whoever writes next hears of it
  return {
    async write(chunk) {
      taken = Promise.withResolvers();
      next.resolve(chunk);
      await Promise.race([taken.promise, put]);
    },
    async end(announced) {
      expected = announced;
      next.resolve(undefined);
      await onStored(await put, announced);
    },
    async abort() {
      stop.abort();
      await put.catch(() => undefined);
    },
  };
}
