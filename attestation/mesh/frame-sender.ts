/**
 * The sending half of a frame channel: flows with frames and credit take turns, one frame each, so that none waits
 * for more than the others' next frames.
 */
import type { Duplex } from 'node:stream';
import { KmsError } from '../../common/errors.ts';
import { Fifo } from './fifo.ts';
import { controlFrame, type FramesHello, MESH_FRAME, openFrame } from './frame-codec.ts';
import { OutFlow } from './frame-flows.ts';
import { FrameWriter } from './frame-writer.ts';

/** What the half needs of its channel. */
export interface SenderHost {
  /** The error of everything that can no longer be sent. */
  unavailable(): KmsError;
  /** A flow has ended. */
  onEnded(): void;
  /** The peer makes us answer and does not read the answers. */
  onUnread(): void;
}

/** Bytes handed to the stream at a time; what is there can no longer take turns. */
const IN_STREAM_BYTES = 1024 * 1024;
/** Frames other than data that may wait for the peer to read: tens of thousands, of which an honest one has a few. */
const MOST_CONTROL_BYTES = 1024 * 1024;

/** Flows that go out on one stream. */
export class FrameSender {
  readonly #stream: Duplex;
  readonly #host: SenderHost;
  readonly #writer: FrameWriter;
  readonly #flows = new Map<number, OutFlow>();
  readonly #ready = new Fifo<OutFlow>();
  #theirs: FramesHello | undefined;
  #last = 0;
  #pumping = false;
  #broken = false;
  #controlBytes = 0;

  /** Data frames handed to the stream, and the bytes of their payloads. */
  frames = 0;
  payloadBytes = 0;

  constructor(stream: Duplex, host: SenderHost) {
    this.#stream = stream;
    this.#host = host;
    this.#writer = new FrameWriter(stream, () => host.unavailable());
  }

  /** Flows that are open. */
  get flows(): number {
    return this.#flows.size;
  }

  /** Sends a frame that is not data, before the data that waits here. */
  control(frame: Uint8Array): void {
    if (this.#broken) return;
    this.#controlBytes += frame.byteLength;
    this.#stream.write(frame, () => {
      this.#controlBytes -= frame.byteLength;
    });
    if (this.#controlBytes > MOST_CONTROL_BYTES) this.#host.onUnread();
  }

  /** The peer's limits are known: data may go. */
  greet(theirs: FramesHello): void {
    this.#theirs = theirs;
    for (const flow of this.#flows.values()) flow.grant(theirs.firstCreditBytes);
  }

  /**
   * Opens a flow under a session id.
   *
   * @param failed - Told when the flow is cut off.
   * @throws KmsError `RESOURCE_EXHAUSTED` at the limit.
   */
  open(sessionId: Uint8Array, maxFlows: number, failed?: (error: KmsError) => void): OutFlow {
    if (this.#flows.size >= maxFlows) throw new KmsError('RESOURCE_EXHAUSTED', 'too many open sessions', { maxFlows });
    this.#last += 1;
    const flow = new OutFlow(this.#last, {
      wake: (woken) => this.#wake(woken),
      finish: (finished) => this.#finish(finished),
      ...(failed && { failed }),
    });
    this.#flows.set(flow.number, flow);
    if (this.#theirs) flow.grant(this.#theirs.firstCreditBytes);
    this.control(openFrame(flow.number, sessionId));
    return flow;
  }

  /** The peer grants a flow more. */
  credit(number: number, bytes: number): void {
    this.#named(number)?.grant(bytes);
  }

  /** The peer wants no more of a flow. */
  stop(number: number, peer: string): void {
    const flow = this.#named(number);
    if (!flow) return;
    flow.fail(new KmsError('ABORTED', `${peer} wants no more of this session`));
    this.#finish(flow);
  }

  /** Fails every flow: nothing is sent any more. */
  fail(error: KmsError): void {
    this.#broken = true;
    for (const flow of this.#flows.values()) flow.fail(error);
    this.#flows.clear();
  }

  /** A flow that the peer names; it may have ended while the frame was on its way. */
  #named(number: number): OutFlow | undefined {
    if (number === 0 || number > this.#last) {
      throw new KmsError('REQUEST_INVALID', 'a session that was never opened', { number });
    }
    return this.#flows.get(number);
  }

  #finish(flow: OutFlow): void {
    if (!this.#flows.delete(flow.number)) return;
    this.#writer.flush(this.#more); // the end comes after the data that was gathered
    this.control(controlFrame(MESH_FRAME.end, flow.number));
    this.#host.onEnded();
  }

  #wake(flow: OutFlow): void {
    if (flow.scheduled || !flow.sendable) return;
    flow.scheduled = true;
    this.#ready.push(flow);
    if (this.#pumping) return;
    this.#pumping = true;
    // Frames of one turn leave together.
    queueMicrotask(() => this.#pump());
  }

  readonly #more = (): void => {
    if (this.#pumping || this.#ready.size === 0) return;
    this.#pumping = true;
    this.#pump();
  };

  #pump(): void {
    if (this.#broken) return;
    const stream = this.#stream;
    stream.cork();
    while (stream.writableLength + this.#writer.gatheredBytes < IN_STREAM_BYTES) {
      const flow = this.#ready.shift();
      if (!flow) break;
      flow.scheduled = false;
      const frame = flow.take();
      if (!frame) continue;
      this.frames += 1;
      this.payloadBytes += frame.payload.byteLength;
      this.#writer.write(flow.number, frame, this.#more);
      if (flow.sendable) {
        flow.scheduled = true;
        this.#ready.push(flow);
      }
      flow.finishIfEmpty();
    }
    this.#writer.flush(this.#more);
    stream.uncork();
    this.#pumping = false;
  }
}
