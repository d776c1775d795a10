/**
 * Frames on one connection: many flows of frames each way, with credit per flow and a bound for all of them.
 *
 * The peer is attested and bounded all the same: lengths, numbers, ids and credit out of range end the connection and
 * name the peer. Payloads may be shares: nothing here reads, logs or quotes one. Format: docs/formats/mesh-frames.md.
 */
import type { Duplex } from 'node:stream';
import { isKmsError, KmsError } from '../../common/errors.ts';
import {
  controlFrame,
  FrameReader,
  type FramesHello,
  helloFrame,
  MESH_FRAME,
  type MeshFrameKind,
  parseHello,
  SESSION_ID_BYTES,
} from './frame-codec.ts';
import type { InFlow, OutFlow } from './frame-flows.ts';
import { type FrameLimits, withDefaults } from './frame-limits.ts';
import { FrameReceiver } from './frame-receiver.ts';
import { FrameSender } from './frame-sender.ts';
import { RENEWED } from './renewal-due.ts';

/** Settings of a channel. */
export interface FrameChannelOptions {
  /** Names the peer in errors and reasons: `engine of party 2`. */
  readonly peer: string;
  readonly limits?: Partial<FrameLimits>;
  /** Takes each flow that the peer opens. A `KmsError` out of it ends the connection. */
  readonly onFlow: (flow: InFlow) => void;
  /** Told when the peer breaks the protocol, which ends the connection. */
  readonly onBroken?: (() => void) | undefined;
}

/** What went over a channel, and what is there now. */
export interface FrameCounters {
  readonly framesIn: number;
  readonly framesOut: number;
  readonly payloadBytesIn: number;
  readonly payloadBytesOut: number;
  /** Frames that came for a session that nobody wants. */
  readonly dropped: number;
  /** Received and not read yet, with `FRAME_COST_BYTES` a frame. */
  readonly bufferedBytes: number;
  /** Flows that are open, both ways. */
  readonly flows: number;
}

const HELLO_WITHIN_MS = 10_000;
const FLUSH_WITHIN_MS = 1_000;

/** One connection's frames. It begins at once and owns the stream from then on. */
export class FrameChannel {
  readonly #stream: Duplex;
  readonly #peer: string;
  readonly #onBroken: (() => void) | undefined;
  readonly #limits: FrameLimits;
  readonly #sender: FrameSender;
  readonly #receiver: FrameReceiver;
  readonly #reader: FrameReader;
  readonly #helloTimer: NodeJS.Timeout;
  readonly #greeted = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<string>();
  #theirs: FramesHello | undefined;
  #reason: string | undefined;
  #retired = false;
  #peerRetired = false;

  /** Resolves when the peer's hello has come: it serves this connection. Rejects if the connection ends before. */
  readonly ready: Promise<void> = this.#greeted.promise;
  /** Resolves when both sides have retired and every flow has ended. Never, if the connection ends before. */
  readonly drained: Promise<void> = this.#drained.promise;
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<string> = this.#closed.promise;

  constructor(stream: Duplex, { peer, limits, onFlow, onBroken }: FrameChannelOptions) {
    this.#stream = stream;
    this.#peer = peer;
    this.#onBroken = onBroken;
    this.#limits = withDefaults(limits);
    const onEnded = (): void => this.#checkDrained();
    this.#sender = new FrameSender(stream, {
      unavailable: () => this.#unavailable(),
      onEnded,
      onUnread: () => this.close(`${peer} does not read`),
    });
    const control = (frame: Uint8Array): void => this.#sender.control(frame);
    this.#receiver = new FrameReceiver(this.#limits, { control, onFlow, onEnded });
    this.#reader = new FrameReader({
      control: (kind, body) => this.#control(kind, body),
      admit: (number, payloadBytes) => {
        if (!this.#theirs) throw violation('the first frame must be the hello');
        return this.#receiver.admit(number, payloadBytes);
      },
      data: (number, round, payload, shared) => this.#receiver.data(number, round, payload, shared),
    });
    this.ready.catch(() => undefined); // whoever wants to know asks; `closed` tells the reason, too
    this.#helloTimer = setTimeout(() => this.close('no hello in time'), HELLO_WITHIN_MS);
    const { maxPayloadBytes, firstCreditBytes, maxFlows } = this.#limits;
    this.#sender.control(helloFrame({ maxPayloadBytes, firstCreditBytes, maxFlows }));
    stream.on('error', () => this.close('the connection failed'));
    stream.on('close', () => this.#end('the connection ended'));
    stream.on('end', () => this.close(this.#peerRetired ? RENEWED : 'the peer closed the connection'));
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk));
  }

  /** Whether flows can be opened. */
  get usable(): boolean {
    return this.#reason === undefined && !this.#retired && !this.#peerRetired;
  }

  /** Largest payload that can be sent; the peer's limit counts once it is known. */
  get maxPayloadBytes(): number {
    return Math.min(this.#limits.maxPayloadBytes, this.#theirs?.maxPayloadBytes ?? this.#limits.maxPayloadBytes);
  }

  /** What went over it so far. */
  counters(): FrameCounters {
    return {
      framesIn: this.#receiver.frames,
      framesOut: this.#sender.frames,
      payloadBytesIn: this.#receiver.payloadBytes,
      payloadBytesOut: this.#sender.payloadBytes,
      dropped: this.#receiver.dropped,
      bufferedBytes: this.#receiver.bufferedBytes,
      flows: this.#sender.flows + this.#receiver.flows,
    };
  }

  /**
   * Opens a flow of frames to the peer under a session id of 32 bytes.
   *
   * @param failed - Told when the flow is cut off: `ABORTED` by the peer, `UNAVAILABLE` with the connection.
   * @throws KmsError `UNAVAILABLE` when the connection has ended or is being replaced, `RESOURCE_EXHAUSTED` at the
   * limit of open sessions.
   */
  openFlow(sessionId: Uint8Array, failed?: (error: KmsError) => void): OutFlow {
    if (!this.usable) throw this.#unavailable();
    if (sessionId.byteLength !== SESSION_ID_BYTES) throw violation('a session id has 32 bytes');
    const maxFlows = Math.min(this.#limits.maxFlows, this.#theirs?.maxFlows ?? this.#limits.maxFlows);
    return this.#sender.open(sessionId, maxFlows, failed);
  }

  /** Opens no more flows and tells the peer; it then does the same. */
  retire(): void {
    if (this.#retired || this.#reason !== undefined) return;
    this.#retired = true;
    this.#sender.control(controlFrame(MESH_FRAME.retire));
    this.#checkDrained();
  }

  /** Ends the connection. The first reason counts. */
  close(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#end(reason);
    // What was handed to the stream still leaves, unless the peer does not read.
    this.#stream.end(() => this.#stream.destroy());
    setTimeout(() => this.#stream.destroy(), FLUSH_WITHIN_MS).unref();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#reason !== undefined) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      this.close(`${this.#peer} broke the frame protocol: ${error.message}`);
      this.#onBroken?.();
    }
  }

  #control(kind: Exclude<MeshFrameKind, 3>, body: DataView): void {
    if ((kind === MESH_FRAME.hello) !== (this.#theirs === undefined)) throw violation('the first frame is the hello');
    switch (kind) {
      case MESH_FRAME.hello:
        this.#greet(parseHello(body));
        return;
      case MESH_FRAME.open:
        if (this.#peerRetired) throw violation('a session was opened after retiring');
        this.#receiver.open(
          body.getUint32(0, true),
          new Uint8Array(body.buffer, body.byteOffset + 4, SESSION_ID_BYTES),
        );
        return;
      case MESH_FRAME.credit:
        this.#sender.credit(body.getUint32(0, true), body.getUint32(4, true));
        return;
      case MESH_FRAME.end:
        this.#receiver.end(body.getUint32(0, true));
        return;
      case MESH_FRAME.stop:
        this.#sender.stop(body.getUint32(0, true), this.#peer);
        return;
      case MESH_FRAME.retire:
        this.#peerRetired = true;
        this.retire();
        this.#checkDrained();
        return;
    }
  }

  #greet(theirs: FramesHello): void {
    clearTimeout(this.#helloTimer);
    this.#theirs = theirs;
    this.#sender.greet(theirs);
    this.#greeted.resolve();
  }

  #checkDrained(): void {
    if (!this.#retired || !this.#peerRetired) return;
    if (this.#sender.flows === 0 && this.#receiver.flows === 0) this.#drained.resolve();
  }

  #unavailable(): KmsError {
    const why = this.#reason ?? 'it is being replaced';
    return new KmsError('UNAVAILABLE', `the connection to ${this.#peer} cannot be used: ${why}`);
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearTimeout(this.#helloTimer);
    const error = this.#unavailable();
    this.#sender.fail(error);
    this.#receiver.fail(error);
    this.#greeted.reject(error);
    this.#closed.resolve(reason);
  }
}

function violation(message: string): KmsError {
  return new KmsError('REQUEST_INVALID', message);
}
