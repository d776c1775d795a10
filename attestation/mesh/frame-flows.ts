/**
 * One direction of one session on one connection: frames waiting for credit, and frames waiting to be read.
 *
 * A sender may have as much under way as the receiver granted, so a session that nobody reads holds up nobody else
 * and costs no more memory than its window.
 */
import { KmsError } from '../../common/errors.ts';
import { Fifo } from './fifo.ts';
import { FRAME_COST_BYTES } from './frame-codec.ts';

/** A frame as it came. The payload is the receiver's own, though it may be a view of larger memory: copy to keep. */
export interface ReceivedFrame {
  readonly round: number;
  readonly payload: Uint8Array;
}

/** A frame on its way out. */
export interface OutgoingFrame {
  readonly round: number;
  readonly payload: Uint8Array;
  /** The payload has been written or copied. */
  readonly sent: () => void;
  readonly failed: (error: KmsError) => void;
}

/** What a flow does to its channel. */
export interface OutFlowHost {
  /** The flow may have become able to send. */
  wake(flow: OutFlow): void;
  /** The flow has nothing more to send: say so to the peer and forget it. */
  finish(flow: OutFlow): void;
  /** The flow was cut off: by the peer with ABORTED, by the end of its connection with UNAVAILABLE. */
  failed?(error: KmsError): void;
}

/** Frames of one session that go out. */
export class OutFlow {
  readonly number: number;
  readonly #host: OutFlowHost;
  readonly #queue = new Fifo<OutgoingFrame>();
  #credit = 0;
  #ending = false;
  #failure: KmsError | undefined;
  /** Whether the channel has this flow in its round. */
  scheduled = false;

  constructor(number: number, host: OutFlowHost) {
    this.number = number;
    this.#host = host;
  }

  /** Whether the first frame in the queue has the credit it needs. */
  get sendable(): boolean {
    const first = this.#queue.peek();
    return first !== undefined && first.payload.byteLength + FRAME_COST_BYTES <= this.#credit;
  }

  /** Queues a frame. Resolves when its payload may be changed again. Rejects when the flow or its channel ends. */
  send(round: number, payload: Uint8Array): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ending) return Promise.reject(new KmsError('STATE_INVALID', 'the session has ended its sending'));
    return new Promise((sent, failed) => {
      this.#queue.push({ round, payload, sent, failed });
      this.#host.wake(this);
    });
  }

  /** Takes the first frame and what it costs. Call only when {@link sendable}. */
  take(): OutgoingFrame | undefined {
    const frame = this.#queue.shift();
    if (frame) this.#credit -= frame.payload.byteLength + FRAME_COST_BYTES;
    return frame;
  }

  /** Adds credit. */
  grant(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > Number.MAX_SAFE_INTEGER / 2) throw new KmsError('REQUEST_INVALID', 'too much credit');
    this.#host.wake(this);
  }

  /** Ends the flow once the queue is empty. */
  end(): void {
    if (this.#ending || this.#failure) return;
    this.#ending = true;
    this.finishIfEmpty();
  }

  /** Ends the flow if it wants to end and nothing is left. The channel calls it after each frame. */
  finishIfEmpty(): void {
    if (this.#ending && !this.#failure && this.#queue.size === 0) {
      this.#failure = new KmsError('STATE_INVALID', 'the session has ended its sending');
      this.#host.finish(this);
    }
  }

  /** Ends the flow at once: drops what waits. */
  cancel(): void {
    if (this.#failure) return;
    this.fail(new KmsError('CANCELLED', 'the session was closed'));
    this.#host.finish(this);
  }

  /** Drops what waits, and fails it. */
  fail(error: KmsError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const frame of this.#queue.drain()) frame.failed(error);
    this.#host.failed?.(error);
  }
}

/** What a flow tells its channel. */
export interface InFlowHost {
  /** Frames that cost so much have left the buffer. */
  release(flow: InFlow, costBytes: number): void;
  /** Nobody wants more of this flow; so many frames were dropped. */
  refuse(flow: InFlow, frames: number): void;
  /** Somebody reads this flow: it gets its window. */
  accept(flow: InFlow): void;
}

interface Waiting {
  resolve(frame: ReceivedFrame | undefined): void;
  reject(error: KmsError): void;
}

/** Frames of one session that come in. */
export class InFlow {
  readonly number: number;
  /** Session id in hexadecimal. */
  readonly sessionId: string;
  readonly #host: InFlowHost;
  readonly #queue = new Fifo<ReceivedFrame>();
  #waiting: Waiting | undefined;
  #ended = false;
  #failure: KmsError | undefined;
  #buffered = 0;
  #accepted = false;
  #stopped = false;
  /** What the peer may still send: the channel's count. */
  allowance = 0;
  /** What the peer may have unread here at a time: the channel's count. */
  window = 0;
  /** What was read and not granted again yet: the channel's count. */
  unreturned = 0;

  constructor(number: number, sessionId: string, host: InFlowHost) {
    this.number = number;
    this.sessionId = sessionId;
    this.#host = host;
  }

  /** Whether the peer has ended the flow. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether the connection ended before the flow did. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether frames are dropped as they come. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether somebody reads. */
  get accepted(): boolean {
    return this.#accepted;
  }

  /** Gives the flow its window: somebody reads. */
  accept(): void {
    if (this.#accepted || this.#stopped || this.#ended) return;
    this.#accepted = true;
    this.#host.accept(this);
  }

  /**
   * Returns the next frame, or undefined after the last one. One call at a time.
   *
   * @throws KmsError `UNAVAILABLE` when the connection has ended before the flow did, `CANCELLED` by the signal.
   */
  receive(signal?: AbortSignal): Promise<ReceivedFrame | undefined> {
    const frame = this.#queue.shift();
    if (frame) {
      this.#free(frame);
      return Promise.resolve(frame);
    }
    if (this.#ended) return Promise.resolve(undefined);
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#waiting)
      return Promise.reject(new KmsError('STATE_INVALID', 'a session is read by one reader at a time'));
    return signal ? this.#waitUntil(signal) : this.#wait();
  }

  /** Takes a frame from the wire. `shared` is the size of the memory that its payload is a view of. */
  deliver(round: number, payload: Uint8Array, shared: number): void {
    const waiting = this.#waiting;
    if (waiting) {
      this.#waiting = undefined;
      this.#buffered += payload.byteLength + FRAME_COST_BYTES;
      const frame = { round, payload };
      this.#free(frame);
      waiting.resolve(frame);
      return;
    }
    // A few bytes must not keep a whole chunk in memory while they wait.
    const kept = payload.byteLength * 4 < shared ? new Uint8Array(payload) : payload;
    this.#buffered += kept.byteLength + FRAME_COST_BYTES;
    this.#queue.push({ round, payload: kept });
  }

  /** The peer has sent its last frame. */
  end(): void {
    this.#ended = true;
    if (this.#queue.size === 0) this.#settle((waiting) => waiting.resolve(undefined));
  }

  /** The connection has ended. What is in the queue can still be read. */
  fail(error: KmsError): void {
    if (this.#ended) return;
    this.#failure ??= error;
    this.#settle((waiting) => waiting.reject(error));
  }

  /** Drops what is there and what comes. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const frames = this.#queue.drain().length;
    const freed = this.#buffered;
    this.#buffered = 0;
    this.fail(new KmsError('CANCELLED', 'the session was closed'));
    this.#host.release(this, freed);
    this.#host.refuse(this, frames);
  }

  #free(frame: ReceivedFrame): void {
    const cost = frame.payload.byteLength + FRAME_COST_BYTES;
    this.#buffered -= cost;
    this.#host.release(this, cost);
  }

  #wait(): Promise<ReceivedFrame | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  async #waitUntil(signal: AbortSignal): Promise<ReceivedFrame | undefined> {
    const cancel = (): void =>
      this.#settle((waiting) => waiting.reject(new KmsError('CANCELLED', 'no longer waiting for a frame')));
    const frame = this.#wait();
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    try {
      return await frame;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  #settle(how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) how(waiting);
  }
}
