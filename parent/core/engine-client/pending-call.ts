/**
 * One call that waits for the engine: its promise, its deadline and the object it is receiving.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { isErrorCode, KmsError } from '../../../common/errors.ts';
import { CallErrorSchema, ObjectEndSchema, ObjectStartSchema, ProgressSchema } from '../../../proto/gen/engine_pb.js';
import { FRAME_KIND, type Frame } from '../../../wire/frames.ts';
import type { EngineCallOptions, ObjectWriter } from './engine-client.ts';

/** Sends a frame that belongs to the call. */
export type CallReply = (kind: typeof FRAME_KIND.error | typeof FRAME_KIND.objectStored, payload?: Uint8Array) => void;

/** A call in flight. */
export class PendingCall {
  /** Instant of the monotonic clock; Infinity for none. */
  readonly deadlineMs: number;
  readonly options: EngineCallOptions;
  readonly #resolve: (body: Uint8Array) => void;
  readonly #reject: (error: unknown) => void;
  #writer: ObjectWriter | undefined;
  #receiving: Promise<void> = Promise.resolve();
  #refusal: unknown;

  constructor(
    options: EngineCallOptions,
    deadlineMs: number,
    resolve: (body: Uint8Array) => void,
    reject: (error: unknown) => void,
  ) {
    this.options = options;
    this.deadlineMs = deadlineMs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Ends the call well. The body is copied out of the received chunk, which is far larger and would be kept alive. */
  succeed(body: Uint8Array): void {
    if (this.#writer) {
      void this.fail(new KmsError('INTERNAL', 'the engine answered in the middle of an object'));
      return;
    }
    this.#resolve(new Uint8Array(body));
  }

  /**
   * Ends the call badly and drops what it was receiving. What went wrong here comes before what the engine made of it.
   */
  async fail(error: unknown): Promise<void> {
    const reason = this.#refusal ?? error; // what dropping the object brings about is no reason
    await this.#dropObject();
    // A frame may be at work still, and may just have begun or finished an object.
    await this.#receiving.catch(() => undefined);
    await this.#dropObject();
    this.#reject(reason);
  }

  /** Ends the call with the engine's own error. */
  failAs(payload: Uint8Array): Promise<void> {
    const { code, message, facts } = fromBinary(CallErrorSchema, payload);
    return this.fail(new KmsError(isErrorCode(code) ? code : 'INTERNAL', message, facts));
  }

  /** Passes progress on. */
  progress(payload: Uint8Array): void {
    const { phase, fraction, estimated } = fromBinary(ProgressSchema, payload);
    this.options.onProgress?.({ phase, fraction, estimated });
  }

  /**
   * Takes a frame of an object. The first failure is told to the engine, which then ends the call; until it does, the
   * rest of the object is let pass.
   *
   * @throws KmsError INTERNAL if the engine breaks the order of frames.
   */
  receive(frame: Frame, reply: CallReply): Promise<void> {
    this.#receiving = this.#receive(frame, reply);
    return this.#receiving;
  }

  async #receive(frame: Frame, reply: CallReply): Promise<void> {
    if (this.#refusal !== undefined) return;
    this.#checkOrder(frame);
    try {
      if (frame.kind === FRAME_KIND.objectStart) await this.#start(frame.payload);
      else if (frame.kind === FRAME_KIND.objectChunk) await this.#writer?.write(frame.payload);
      else {
        const writer = this.#writer;
        this.#writer = undefined;
        await writer?.end(fromBinary(ObjectEndSchema, frame.payload).digest);
        reply(FRAME_KIND.objectStored);
      }
    } catch (error) {
      this.#refusal = error;
      const { code, message } = error instanceof KmsError ? error : new KmsError('INTERNAL', 'cannot store the object');
      reply(FRAME_KIND.error, toBinary(CallErrorSchema, create(CallErrorSchema, { code, message })));
      await this.#dropObject();
    }
  }

  async #dropObject(): Promise<void> {
    const writer = this.#writer;
    this.#writer = undefined;
    await writer?.abort();
  }

  async #start(payload: Uint8Array): Promise<void> {
    const { type, id, sizeBytes, replace } = fromBinary(ObjectStartSchema, payload);
    const { sink } = this.options;
    if (!sink) throw new KmsError('PRECONDITION_FAILED', 'this call takes no objects');
    if (sizeBytes > BigInt(Number.MAX_SAFE_INTEGER)) throw new KmsError('RESOURCE_EXHAUSTED', 'object is too large');
    this.#writer = await sink.start({ type, id, sizeBytes: Number(sizeBytes), replace });
  }

  #checkOrder(frame: Frame): void {
    const starts = frame.kind === FRAME_KIND.objectStart;
    if (starts === (this.#writer !== undefined)) {
      throw new KmsError('INTERNAL', 'the engine broke the order of object frames', { kind: frame.kind });
    }
  }
}
