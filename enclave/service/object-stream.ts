/**
 * Streams public objects over a link: start, chunks, end, then the Core's word that it holds the object.
 *
 * One object at a time per call; at most one chunk is held in memory beside what the socket buffers.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../common/errors.ts';
import { ObjectEndSchema, ObjectStartSchema } from '../../proto/gen/engine_pb.js';
import { FRAME_KIND, type FrameKind, MAX_CHUNK_BYTES } from '../../wire/frames.ts';
import type { PublicObject, PublicObjectSink } from '../call.ts';
import { aborted } from '../fhe/generation-queue.ts';

/** Writes one frame of the call and resolves when the peer has room for more. */
export type FrameSender = (kind: Exclude<FrameKind, 1>, payload?: Uint8Array) => Promise<void>;

/** The sending side of the objects of one call. */
export class ObjectStream implements PublicObjectSink {
  readonly #send: FrameSender;
  readonly #signal: AbortSignal;
  #answer: PromiseWithResolvers<void> | undefined;
  #ended = false;

  constructor(send: FrameSender, signal: AbortSignal) {
    this.#send = send;
    this.#signal = signal;
  }

  async store({ type, id, replace, digest, source }: PublicObject): Promise<void> {
    if (this.#answer) throw new KmsError('INTERNAL', 'one object at a time');
    const answer = Promise.withResolvers<void>();
    this.#answer = answer;
    this.#ended = false;
    // The Core may refuse an object while its chunks are still on their way, before anyone awaits the answer.
    answer.promise.catch(() => undefined);
    const onAbort = () => answer.reject(aborted());
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      const sizeBytes = source.size;
      const start = create(ObjectStartSchema, { type, id, sizeBytes: BigInt(sizeBytes), replace });
      await this.#sendUnlessSettled(FRAME_KIND.objectStart, () => toBinary(ObjectStartSchema, start));
      for (let at = 0; at < sizeBytes; at += MAX_CHUNK_BYTES) {
        const length = Math.min(MAX_CHUNK_BYTES, sizeBytes - at);
        await this.#sendUnlessSettled(FRAME_KIND.objectChunk, () => source.chunk(at, length));
      }
      this.#ended = true;
      await this.#sendUnlessSettled(FRAME_KIND.objectEnd, () =>
        toBinary(ObjectEndSchema, create(ObjectEndSchema, { digest })),
      );
      await answer.promise;
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
      this.#answer = undefined;
    }
  }

  /** Takes the Core's word that the object is stored. Returns whether one had been sent to its end. */
  stored(): boolean {
    if (!this.#answer || !this.#ended) return false;
    this.#answer.resolve();
    return true;
  }

  /** Takes the Core's refusal of the object under way. Returns whether one was under way. */
  refused(reason: KmsError): boolean {
    this.#answer?.reject(reason);
    return this.#answer !== undefined;
  }

  /** Sends a frame, or throws the refusal that has come meanwhile instead of sending more. */
  async #sendUnlessSettled(kind: Exclude<FrameKind, 1>, payload: () => Uint8Array): Promise<void> {
    if (this.#signal.aborted) throw aborted();
    await Promise.race([this.#answer?.promise, this.#send(kind, payload())]);
  }
}
