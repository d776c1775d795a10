/**
 * The engine's side of one link: hello, then calls, answers, progress and objects as frames.
 *
 * The peer is the Core and gets no trust: frames are bounded before they are held, a frame that breaks the protocol
 * ends the link, a call that fails ends that call only. When the link ends, its calls are cancelled.
 */
import { Socket } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { freeBuffer } from '../../native/engine/index.ts';
import { CallHeadSchema, HelloSchema } from '../../proto/gen/engine_pb.js';
import { FrameDecoder } from '../../wire/frame-decoder.ts';
import {
  type EngineMethod,
  encodeFrame,
  FRAME_KIND,
  type Frame,
  type FrameKind,
  LINK_PROTOCOL_VERSION,
  parseCallPayload,
} from '../../wire/frames.ts';
import type { CallHandler } from '../call.ts';
import { aborted } from '../fhe/generation-queue.ts';
import { CallState } from './call-state.ts';
import type { EngineLink } from './engine-listener.ts';
import { decodeCallError, encodeCallError } from './errors-on-the-wire.ts';
import type { WorkBudget } from './work-budget.ts';

/** What every link of an engine shares. */
export interface LinkDeps {
  readonly handlers: Readonly<Partial<Record<EngineMethod, CallHandler>>>;
  readonly budget: WorkBudget;
  readonly developerMode: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

const HELLO_WITHIN_MS = 5_000;
const BREAK_OFF_WITHIN_MS = 1_000;
const NO_EVIDENCE = new Uint8Array();

type ServerFrameKind = Exclude<FrameKind, 1>;

/** Serves one link until either side ends it. */
export class LinkServer {
  readonly #link: EngineLink;
  readonly #deps: LinkDeps;
  readonly #decoder = new FrameDecoder();
  readonly #calls = new Map<number, CallState>();
  readonly #helloTimer: NodeJS.Timeout;
  #greeted = false;
  #broken = false;
  #corked = false;
  #draining: PromiseWithResolvers<void> | undefined;

  /** Resolves when the link has ended. */
  readonly ended: Promise<void>;

  constructor(link: EngineLink, deps: LinkDeps) {
    this.#link = link;
    this.#deps = deps;
    const { stream } = link;
    this.ended = new Promise((resolve) => stream.once('close', resolve));
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    stream.on('drain', () => this.#drained());
    stream.on('end', () => stream.destroy());
    stream.on('error', () => stream.destroy());
    stream.on('close', () => this.#close());
    this.#helloTimer = setTimeout(() => this.#breakOff(violation('no hello in time')), HELLO_WITHIN_MS);
    const { developerMode } = deps;
    const hello = { protocolVersion: LINK_PROTOCOL_VERSION, developerMode, role: 'engine' };
    this.#write(FRAME_KIND.hello, 0, toBinary(HelloSchema, create(HelloSchema, hello)));
  }

  /** Ends the link; calls in flight are cancelled. */
  end(): void {
    this.#link.stream.destroy();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#broken) return;
    try {
      const frames = this.#decoder.push(chunk);
      for (const frame of frames) this.#handle(frame);
      // What a large body came in was copied into it. A stream in memory hands over bytes that are its sender's.
      const isOurs = this.#link.stream instanceof Socket;
      if (isOurs && frames.every(({ payload }) => payload.buffer !== chunk.buffer)) freeBuffer(chunk);
    } catch (error) {
      this.#breakOff(error);
    }
  }

  #handle(frame: Frame): void {
    if (!this.#greeted) {
      this.#greet(frame);
      return;
    }
    switch (frame.kind) {
      case FRAME_KIND.call:
        this.#open(frame);
        return;
      case FRAME_KIND.cancel:
        // The call may have been answered while the cancel was on its way.
        this.#calls.get(frame.callId)?.cancel();
        return;
      case FRAME_KIND.objectStored:
        if (this.#calls.get(frame.callId)?.objectStored() === false) {
          throw violation('an object that was not sent is said to be stored');
        }
        return;
      case FRAME_KIND.error:
        this.#calls.get(frame.callId)?.objectRefused(decodeCallError(frame.payload));
        return;
      default:
        throw violation('a frame of this kind does not come from a caller');
    }
  }

  #greet(frame: Frame): void {
    if (frame.kind !== FRAME_KIND.hello) throw violation('the first frame must be the hello');
    const hello = fromBinary(HelloSchema, frame.payload);
    if (hello.protocolVersion !== LINK_PROTOCOL_VERSION) {
      throw new KmsError('PRECONDITION_FAILED', `the engine speaks link protocol ${LINK_PROTOCOL_VERSION}`);
    }
    if (hello.developerMode !== this.#deps.developerMode) {
      throw new KmsError('PRECONDITION_FAILED', 'developer_mode must be the same in the engine and in the Core');
    }
    clearTimeout(this.#helloTimer);
    this.#greeted = true;
  }

  #open({ callId, payload }: Frame): void {
    if (callId === 0 || this.#calls.has(callId)) throw violation('a call needs an id of its own');
    // Every answer is written in here; nothing is left to go wrong outside.
    void this.#answer(callId, payload);
    if (this.#deps.budget.full) this.#pause();
  }

  /** Runs a call to its answer. Never rejects. */
  async #answer(callId: number, payload: Uint8Array): Promise<void> {
    const { byteLength: sizeBytes } = payload; // none are left of a payload that was freed
    this.#deps.budget.take(sizeBytes);
    try {
      const { method, head, body } = parseCallPayload(payload);
      const evidence = head.byteLength === 0 ? NO_EVIDENCE : fromBinary(CallHeadSchema, head).evidence;
      const call = new CallState(payload, body, evidence, (kind, frame) => this.#send(kind, callId, frame));
      this.#calls.set(callId, call);
      const handler = this.#deps.handlers[method];
      if (!handler) throw new KmsError('UNIMPLEMENTED', 'this kind of node has no such operation', { method });
      const result = await handler(call);
      this.#write(FRAME_KIND.result, callId, result);
    } catch (error) {
      // Our own errors are answers; anything else is a bug and is told to the log alone.
      if (!isKmsError(error)) this.#deps.log.error({ event: 'engine.call.bug', err: error });
      this.#write(FRAME_KIND.error, callId, encodeCallError(error));
    } finally {
      this.#calls.delete(callId);
      this.#deps.budget.give(sizeBytes);
    }
  }

  #pause(): void {
    this.#link.stream.pause();
    this.#deps.budget.whenRoom(() => this.#link.stream.resume());
  }

  /** Writes a frame and resolves when the socket has room for the next. */
  async #send(kind: ServerFrameKind, callId: number, payload?: Uint8Array): Promise<void> {
    if (this.#write(kind, callId, payload)) return;
    if (this.#link.stream.destroyed) throw aborted();
    this.#draining ??= Promise.withResolvers();
    await this.#draining.promise;
  }

  #write(kind: ServerFrameKind, callId: number, payload?: Uint8Array): boolean {
    const { stream } = this.#link;
    if (stream.destroyed) return false;
    this.#gather();
    let room = true;
    for (const part of encodeFrame(kind, callId, payload)) room = stream.write(part);
    return room;
  }

  /** What is written in one turn of the loop leaves as one piece: under load many answers do. */
  #gather(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#link.stream.cork();
    setImmediate(() => {
      this.#corked = false;
      this.#link.stream.uncork();
    });
  }

  #drained(): void {
    this.#draining?.resolve();
    this.#draining = undefined;
  }

  /** Says why, if it can, and ends the link. */
  #breakOff(error: unknown): void {
    if (this.#broken) return;
    this.#broken = true;
    const reason = isKmsError(error) ? error : violation('a frame cannot be read');
    const { stream, peer } = this.#link;
    this.#deps.log.warn({ event: 'engine.link.refused', peer, err: reason });
    this.#write(FRAME_KIND.error, 0, encodeCallError(reason));
    stream.end(() => stream.destroy());
    // A peer that does not read must not keep the link alive.
    setTimeout(() => stream.destroy(), BREAK_OFF_WITHIN_MS).unref();
  }

  #close(): void {
    clearTimeout(this.#helloTimer);
    this.#draining?.reject(aborted());
    this.#draining = undefined;
    for (const call of this.#calls.values()) call.cancel();
  }
}

function violation(message: string): KmsError {
  return new KmsError('REQUEST_INVALID', message);
}
