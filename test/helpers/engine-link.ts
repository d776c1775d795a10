/**
 * A small client of the engine's link, for tests: whole objects in memory, no back pressure, every frame within reach.
 */
import type { Duplex } from 'node:stream';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { isErrorCode, KmsError } from '../../common/errors.ts';
import {
  CallErrorSchema,
  CallHeadSchema,
  HelloSchema,
  ObjectEndSchema,
  ObjectStartSchema,
  type Progress,
  ProgressSchema,
} from '../../proto/gen/engine_pb.js';
import { FrameDecoder } from '../../wire/frame-decoder.ts';
import { type EngineMethod, encodeCall, encodeFrame, FRAME_KIND, type Frame } from '../../wire/frames.ts';

/** A public object as it arrived. */
export interface ReceivedObject {
  readonly type: string;
  readonly id: string;
  readonly replace: boolean;
  readonly bytes: Uint8Array;
  readonly digest: Uint8Array;
}

/** What a test may do with a call under way. */
export interface TestCallOptions {
  readonly evidence?: Uint8Array;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Resolves when the object is stored; throws to refuse it. All are kept in `objects` too. */
  readonly onObject?: (object: ReceivedObject) => Promise<void> | void;
}

interface PendingCall extends TestCallOptions {
  readonly done: PromiseWithResolvers<Uint8Array>;
  readonly chunks: Uint8Array[];
  start?: { type: string; id: string; replace: boolean };
}

/** See the file comment. */
export class EngineTestLink {
  readonly objects: ReceivedObject[] = [];
  readonly #socket: Duplex;
  readonly #decoder = new FrameDecoder();
  readonly #calls = new Map<number, PendingCall>();
  readonly #hello = Promise.withResolvers<{ protocolVersion: number; developerMode: boolean; role: string }>();
  readonly #closed = Promise.withResolvers<KmsError | undefined>();
  #farewell: KmsError | undefined;
  #lastCallId = 0;

  private constructor(socket: Duplex) {
    this.#socket = socket;
    this.#hello.promise.catch(() => undefined);
    socket.on('data', (chunk: Uint8Array) => {
      for (const frame of this.#decoder.push(chunk)) this.#handle(frame);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      const gone = new KmsError('UNAVAILABLE', 'the engine closed the link');
      this.#hello.reject(gone);
      for (const { done } of this.#calls.values()) done.reject(gone);
      this.#closed.resolve(this.#farewell);
    });
  }

  /** Takes a connected stream and, unless told otherwise, says hello and waits for the engine's. */
  static async open(
    stream: Duplex,
    hello: { protocolVersion?: number; developerMode?: boolean; role?: string } | 'none' = {},
  ): Promise<EngineTestLink> {
    const link = new EngineTestLink(stream);
    if (hello === 'none') return link;
    const message = create(HelloSchema, { protocolVersion: 1, developerMode: true, role: 'core', ...hello });
    link.sendRaw(...encodeFrame(FRAME_KIND.hello, 0, toBinary(HelloSchema, message)));
    await link.#hello.promise;
    return link;
  }

  /** The engine's hello. */
  get hello(): Promise<{ protocolVersion: number; developerMode: boolean; role: string }> {
    return this.#hello.promise;
  }

  /** Resolves when the engine has closed the link, with the reason it gave. */
  get closed(): Promise<KmsError | undefined> {
    return this.#closed.promise;
  }

  /** Makes a call and resolves with the body of its result. */
  call(method: number, body: Uint8Array = new Uint8Array(), options: TestCallOptions = {}): Promise<Uint8Array> {
    const callId = ++this.#lastCallId;
    const pending: PendingCall = { ...options, done: Promise.withResolvers(), chunks: [] };
    this.#calls.set(callId, pending);
    const head = options.evidence
      ? toBinary(CallHeadSchema, create(CallHeadSchema, { evidence: options.evidence }))
      : new Uint8Array();
    this.sendRaw(...encodeCall(callId, method as EngineMethod, head, body));
    options.signal?.addEventListener('abort', () => this.sendRaw(...encodeFrame(FRAME_KIND.cancel, callId)));
    return pending.done.promise;
  }

  /** Writes bytes as they are. */
  sendRaw(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.#socket.write(part);
  }

  /** Ends the link. */
  close(): void {
    this.#socket.destroy();
  }

  #handle({ kind, callId, payload }: Frame): void {
    if (kind === FRAME_KIND.hello) {
      this.#hello.resolve(fromBinary(HelloSchema, payload));
      return;
    }
    const call = this.#calls.get(callId);
    if (!call) {
      if (kind === FRAME_KIND.error) this.#farewell = asError(payload);
      return;
    }
    switch (kind) {
      case FRAME_KIND.result:
        this.#calls.delete(callId);
        call.done.resolve(Uint8Array.from(payload));
        return;
      case FRAME_KIND.error:
        this.#calls.delete(callId);
        call.done.reject(asError(payload));
        return;
      case FRAME_KIND.progress:
        call.onProgress?.(fromBinary(ProgressSchema, payload));
        return;
      case FRAME_KIND.objectStart:
        call.start = fromBinary(ObjectStartSchema, payload);
        call.chunks.length = 0;
        return;
      case FRAME_KIND.objectChunk:
        call.chunks.push(Uint8Array.from(payload));
        return;
      case FRAME_KIND.objectEnd:
        void this.#store(callId, call, fromBinary(ObjectEndSchema, payload).digest);
        return;
      default:
        throw new Error(`the engine sent a frame of kind ${kind}`);
    }
  }

  async #store(callId: number, call: PendingCall, digest: Uint8Array): Promise<void> {
    const { type = '', id = '', replace = false } = call.start ?? {};
    const object = { type, id, replace, bytes: Uint8Array.from(Buffer.concat(call.chunks)), digest };
    this.objects.push(object);
    try {
      await call.onObject?.(object);
      this.sendRaw(...encodeFrame(FRAME_KIND.objectStored, callId));
    } catch (error) {
      const { code, message } = error instanceof KmsError ? error : new KmsError('INTERNAL', String(error));
      const payload = toBinary(CallErrorSchema, create(CallErrorSchema, { code, message }));
      this.sendRaw(...encodeFrame(FRAME_KIND.error, callId, payload));
    }
  }
}

function asError(payload: Uint8Array): KmsError {
  const { code, message, facts } = fromBinary(CallErrorSchema, payload);
  return new KmsError(isErrorCode(code) ? code : 'INTERNAL', message, facts);
}
