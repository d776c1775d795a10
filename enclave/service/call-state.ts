/**
 * One call in flight on a link. A decryption needs neither signal nor objects nor progress, so these are made when an
 * operation first asks for them.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { KmsError } from '../../common/errors.ts';
import { freeBuffer } from '../../native/engine/index.ts';
import { ProgressSchema } from '../../proto/gen/engine_pb.js';
import { FRAME_KIND } from '../../wire/frames.ts';
import type { EngineCall, PublicObjectSink } from '../call.ts';
import type { ProgressReport } from '../fhe/progress.ts';
import { type FrameSender, ObjectStream } from './object-stream.ts';

/** A call between its first frame and its answer. */
export class CallState implements EngineCall {
  readonly body: Uint8Array;
  readonly evidence: Uint8Array;
  readonly #payload: Uint8Array;
  readonly #send: FrameSender;
  #controller: AbortController | undefined;
  #objects: ObjectStream | undefined;
  #cancelled = false;

  /** @param payload - The frame's, which body and evidence are views of. */
  constructor(payload: Uint8Array, body: Uint8Array, evidence: Uint8Array, send: FrameSender) {
    this.#payload = payload;
    this.body = body;
    this.evidence = evidence;
    this.#send = send;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  get objects(): PublicObjectSink {
    this.#objects ??= new ObjectStream(this.#send, this.signal);
    return this.#objects;
  }

  readonly report = ({ phase, fraction, estimated }: ProgressReport): void => {
    const payload = toBinary(ProgressSchema, create(ProgressSchema, { phase, fraction, estimated }));
    // A report that cannot be sent is not worth failing the call: the link's end cancels it anyway.
    this.#send(FRAME_KIND.progress, payload).catch(() => undefined);
  };

  readonly freeBody = (): void => freeBuffer(this.#payload);

  /** The caller no longer wants the call, or is gone. */
  cancel(): void {
    this.#cancelled = true;
    this.#controller?.abort();
  }

  /** The Core holds the object under way. Returns whether that can be. */
  objectStored(): boolean {
    return this.#objects?.stored() ?? false;
  }

  /** The Core could not store the object under way. Returns whether that can be. */
  objectRefused(reason: KmsError): boolean {
    return this.#objects?.refused(reason) ?? false;
  }
}
