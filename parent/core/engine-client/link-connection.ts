/**
 * One connection to the engine: HELLO first, then calls by number, answers in any order.
 *
 * The hot path is a Map of callbacks: no timer, no iterator and no copy of a body per call. A connection that breaks is
 * not repaired: its owner opens another.
 */
import type { Duplex } from 'node:stream';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Clock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { HelloSchema } from '../../../proto/gen/engine_pb.js';
import { FrameDecoder } from '../../../wire/frame-decoder.ts';
import {
  type EngineMethod,
  encodeCall,
  encodeFrame,
  FRAME_KIND,
  type Frame,
  LINK_PROTOCOL_VERSION,
} from '../../../wire/frames.ts';
import type { EngineCallOptions } from './engine-client.ts';
import { LinkWriter } from './link-writer.ts';
import { PendingCall } from './pending-call.ts';

/** What a connection needs to know. */
export interface LinkOptions {
  readonly role: 'core' | 'core-bulk';
  readonly developerMode: boolean;
  readonly clock: Clock;
  /** Bytes that may wait to be sent before further calls are refused. */
  readonly maxQueuedBytes: number;
}

const SWEEP_MS = 250;
/** engine.v1.CallHead without evidence, which the policy operator-trusted does not ask for. */
const NO_EVIDENCE = new Uint8Array();

/** A connection that takes calls once {@link hello} has resolved. */
export class LinkConnection {
  /** Resolves, with the reason, when the connection has ended. */
  readonly ended: Promise<KmsError>;
  readonly #socket: Duplex;
  readonly #options: LinkOptions;
  readonly #decoder = new FrameDecoder();
  readonly #writer: LinkWriter;
  readonly #calls = new Map<number, PendingCall>();
  readonly #greeted = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<KmsError>();
  readonly #waiting: Frame[] = [];
  #isGreeted = false;
  #isEnded = false;
  #isRetired = false;
  #busy = false;
  #lastCallId = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(socket: Duplex, options: LinkOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#writer = new LinkWriter(socket);
    this.ended = this.#end.promise;
    this.#greeted.promise.catch(() => undefined); // `ended` says the same
    socket.on('data', (chunk: Uint8Array) => this.#onData(chunk));
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => this.destroy(new KmsError('UNAVAILABLE', 'the engine closed the connection')));
    const { role, developerMode } = options;
    const hello = create(HelloSchema, { protocolVersion: LINK_PROTOCOL_VERSION, developerMode, role });
    this.#send(encodeFrame(FRAME_KIND.hello, 0, toBinary(HelloSchema, hello)));
  }

  /** Resolves when the engine has greeted and both sides agree. Rejects when the connection ends before. */
  hello(): Promise<void> {
    return this.#greeted.promise;
  }

  /** Whether calls can be made; false before anyone hears that the connection has ended. */
  get isOpen(): boolean {
    return !this.#isEnded;
  }

  /** Ends the connection as soon as the calls in flight are answered; another one takes the next ones. */
  retire(): void {
    this.#isRetired = true;
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (!this.#isRetired || this.#calls.size > 0 || this.#busy || this.#waiting.length > 0) return;
    this.destroy(new KmsError('UNAVAILABLE', 'the connection was replaced'));
  }

  /** Sends a call. See {@link EngineClient.call}. */
  call(method: EngineMethod, body: Uint8Array, options: EngineCallOptions): Promise<Uint8Array> {
    if (this.#isEnded) return Promise.reject(new KmsError('UNAVAILABLE', 'the engine is not connected'));
    const { signal, timeoutMs = 0 } = options;
    if (signal?.aborted) return Promise.reject(cancelled());
    if (this.#writer.queuedBytes > this.#options.maxQueuedBytes) {
      return Promise.reject(new KmsError('RESOURCE_EXHAUSTED', 'the engine takes calls more slowly than they come'));
    }
    const callId = this.#nextCallId();
    let frame: Uint8Array[];
    try {
      frame = encodeCall(callId, method, NO_EVIDENCE, body);
    } catch (error) {
      return Promise.reject(error);
    }
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      const deadlineMs = timeoutMs > 0 ? this.#options.clock.monotonicMs() + timeoutMs : Number.POSITIVE_INFINITY;
      this.#calls.set(callId, new PendingCall(options, deadlineMs, resolve, reject));
    });
    if (timeoutMs > 0) this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS);
    this.#send(frame);
    return signal ? this.#watch(answer, callId, signal) : answer;
  }

  /** Ends the connection; calls in flight fail with an unknown outcome. */
  destroy(reason: KmsError): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearInterval(this.#sweeper);
    this.#socket.destroy();
    this.#greeted.reject(reason);
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    const lost = new KmsError('UNAVAILABLE', 'the engine went away during the call', { reason: 'engine stopped' });
    void Promise.all(calls.map((call) => call.fail(lost))).then(() => this.#end.resolve(reason));
  }

  /** Tells the engine when the caller gives up. A bulk call still waits for the engine's word. */
  async #watch(answer: Promise<Uint8Array>, callId: number, signal: AbortSignal): Promise<Uint8Array> {
    const onAbort = (): void => this.#abandon(callId, cancelled());
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await answer;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #abandon(callId: number, error: KmsError): void {
    const call = this.#calls.get(callId);
    if (!call) return;
    this.#send(encodeFrame(FRAME_KIND.cancel, callId));
    if (call.options.bulk) return;
    this.#calls.delete(callId);
    void call.fail(error);
    this.#endIfIdle();
  }

  #sweep(): void {
    const now = this.#options.clock.monotonicMs();
    let timed = 0;
    for (const [callId, call] of this.#calls) {
      if (call.deadlineMs <= now) {
        this.#abandon(callId, new KmsError('DEADLINE_EXCEEDED', 'the engine did not answer in time'));
      } else if (call.deadlineMs !== Number.POSITIVE_INFINITY) timed += 1;
    }
    if (timed > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #onData(chunk: Uint8Array): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (this.#busy) this.#waiting.push(frame);
        else this.#take(frame);
      }
    } catch (error) {
      this.#breakOff(error);
    }
  }

  /** Handles one frame; while a handler is at work, the socket is paused and later frames wait. */
  #take(frame: Frame): void {
    const work = this.#handle(frame);
    if (work === undefined) return;
    this.#busy = true;
    this.#socket.pause();
    work
      .then(() => {
        this.#busy = false;
        for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
          this.#take(next);
          if (this.#busy) return;
        }
        this.#socket.resume();
        this.#endIfIdle();
      })
      .catch((error: unknown) => this.#breakOff(error));
  }

  #handle({ kind, callId, payload }: Frame): Promise<void> | undefined {
    if (!this.#isGreeted) return this.#greet(kind, payload);
    const call = this.#calls.get(callId);
    switch (kind) {
      case FRAME_KIND.result:
        this.#calls.delete(callId);
        call?.succeed(payload); // unknown calls were given up; their answers come all the same
        if (this.#isRetired) this.#endIfIdle();
        return undefined;
      case FRAME_KIND.error: {
        const failed = call?.failAs(payload); // throws if it cannot be read: the call then ends with the connection
        this.#calls.delete(callId);
        if (this.#isRetired) this.#endIfIdle();
        return failed;
      }
      case FRAME_KIND.progress:
        call?.progress(payload);
        return undefined;
      case FRAME_KIND.objectStart:
      case FRAME_KIND.objectChunk:
      case FRAME_KIND.objectEnd:
        return call?.receive({ kind, callId, payload }, (reply, body) => this.#send(encodeFrame(reply, callId, body)));
      default:
        throw new KmsError('INTERNAL', 'the engine sent a frame that only a core may send', { kind });
    }
  }

  #greet(kind: number, payload: Uint8Array): undefined {
    if (kind !== FRAME_KIND.hello) throw new KmsError('INTERNAL', 'the engine did not greet', { kind });
    const { protocolVersion, developerMode, role } = fromBinary(HelloSchema, payload);
    if (role !== 'engine') throw new KmsError('PRECONDITION_FAILED', 'whoever listens there is not an engine');
    if (protocolVersion !== LINK_PROTOCOL_VERSION) {
      throw new KmsError(
        'PRECONDITION_FAILED',
        `the engine speaks link protocol ${protocolVersion}, this core ${LINK_PROTOCOL_VERSION}: run both from one release`,
      );
    }
    if (developerMode !== this.#options.developerMode) {
      const word = (mode: boolean): string => (mode ? 'developer' : 'production');
      throw new KmsError(
        'PRECONDITION_FAILED',
        `the engine runs in ${word(developerMode)} mode, this core in ${word(this.#options.developerMode)} mode`,
      );
    }
    this.#isGreeted = true;
    this.#greeted.resolve();
    return undefined;
  }

  #breakOff(error: unknown): void {
    const reason =
      error instanceof KmsError ? error : new KmsError('INTERNAL', 'the engine sent what cannot be read', {}, error);
    this.destroy(reason);
  }

  #send(parts: readonly Uint8Array[]): void {
    if (!this.#isEnded) this.#writer.write(parts);
  }

  #nextCallId(): number {
    do {
      this.#lastCallId = this.#lastCallId >= 0xffff_ffff ? 1 : this.#lastCallId + 1;
    } while (this.#calls.has(this.#lastCallId));
    return this.#lastCallId;
  }
}

function cancelled(): KmsError {
  return new KmsError('CANCELLED', 'the caller gave up');
}
