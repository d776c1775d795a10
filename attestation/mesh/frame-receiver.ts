/**
 * The receiving half of a frame channel: counts what each flow may still send and what all of them hold here, and
 * refuses the rest before memory is taken for it.
 */
import type { Duplex } from 'node:stream';
import { toHex } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { controlFrame, FRAME_COST_BYTES, MESH_FRAME } from './frame-codec.ts';
import { InFlow } from './frame-flows.ts';
import type { FrameLimits } from './frame-limits.ts';

/** What the half needs of its channel. */
export interface ReceiverHost {
  /** Sends a credit or stop frame, if the connection still can. */
  control(frame: Uint8Array): void;
  /** Takes a flow that the peer has opened. */
  onFlow(flow: InFlow): void;
  /** A flow has ended. */
  onEnded(): void;
}

/** Flows that come in on one stream. Its methods throw `REQUEST_INVALID` where the peer breaks the protocol. */
export class FrameReceiver {
  readonly #stream: Duplex;
  readonly #limits: FrameLimits;
  readonly #host: ReceiverHost;
  readonly #flows = new Map<number, InFlow>();
  #last = 0;
  #paused = false;

  /** Data frames that came, the bytes of their payloads, and how many of the frames nobody wanted. */
  frames = 0;
  payloadBytes = 0;
  dropped = 0;
  /** What is held and not read yet. */
  bufferedBytes = 0;

  constructor(stream: Duplex, limits: FrameLimits, host: ReceiverHost) {
    this.#stream = stream;
    this.#limits = limits;
    this.#host = host;
  }

  /** Flows that are open. */
  get flows(): number {
    return this.#flows.size;
  }

  /** The peer opens a flow. */
  open(number: number, sessionId: Uint8Array): void {
    if (number !== this.#last + 1) throw violation('sessions are numbered one by one', { number });
    if (this.#flows.size >= this.#limits.maxFlows) throw violation('too many open sessions');
    this.#last = number;
    const flow = new InFlow(number, toHex(sessionId), {
      release: (released, cost) => this.#release(released, cost),
      refuse: (refused, frames) => {
        this.dropped += frames;
        if (this.#flows.has(refused.number)) this.#host.control(controlFrame(MESH_FRAME.stop, refused.number));
      },
      accept: (accepted) => this.#grant(accepted, this.#limits.windowBytes - this.#limits.firstCreditBytes),
    });
    flow.allowance = this.#limits.firstCreditBytes;
    this.#flows.set(number, flow);
    this.#host.onFlow(flow);
  }

  /** Counts a data frame in, before its payload is read. Returns whether it is wanted. */
  admit(number: number, payloadBytes: number): boolean {
    const flow = this.#flows.get(number);
    if (!flow) throw violation('data of a session that is not open', { number });
    if (payloadBytes > this.#limits.maxPayloadBytes) throw violation('a payload is too large', { payloadBytes });
    const cost = payloadBytes + FRAME_COST_BYTES;
    if (cost > flow.allowance) throw violation('more data than the session has credit for', { payloadBytes });
    flow.allowance -= cost;
    this.frames += 1;
    this.payloadBytes += payloadBytes;
    if (flow.stopped) {
      this.dropped += 1;
      return false;
    }
    this.bufferedBytes += cost;
    if (this.bufferedBytes >= this.#limits.bufferedBytes && !this.#paused) {
      this.#paused = true;
      this.#stream.pause();
    }
    return true;
  }

  /** The payload of a frame that was admitted. */
  data(number: number, round: number, payload: Uint8Array, shared: number): void {
    const flow = this.#flows.get(number);
    if (flow && !flow.stopped) {
      flow.deliver(round, payload, shared);
      return;
    }
    // Stopped while its bytes were still coming.
    this.dropped += 1;
    this.#unbuffer(payload.byteLength + FRAME_COST_BYTES);
  }

  /** The peer ends a flow. */
  end(number: number): void {
    const flow = this.#flows.get(number);
    if (!flow) throw violation('the end of a session that is not open', { number });
    this.#flows.delete(number);
    flow.end();
    this.#host.onEnded();
  }

  /** Fails every flow: nothing comes any more. */
  fail(error: KmsError): void {
    for (const flow of this.#flows.values()) flow.fail(error);
    this.#flows.clear();
  }

  #release(flow: InFlow, cost: number): void {
    this.#unbuffer(cost);
    if (flow.stopped || flow.ended) return;
    flow.unreturned += cost;
    // Half a window holds the largest frame, so a flow whose frames are all read can always go on.
    if (flow.accepted && flow.unreturned * 2 >= this.#limits.windowBytes) this.#grant(flow, 0);
  }

  #grant(flow: InFlow, moreBytes: number): void {
    const bytes = flow.unreturned + moreBytes;
    if (bytes === 0 || this.#flows.get(flow.number) !== flow) return;
    flow.unreturned = 0;
    flow.allowance += bytes;
    this.#host.control(controlFrame(MESH_FRAME.credit, flow.number, bytes));
  }

  #unbuffer(cost: number): void {
    this.bufferedBytes -= cost;
    if (this.#paused && this.bufferedBytes * 4 <= this.#limits.bufferedBytes * 3) {
      this.#paused = false;
      this.#stream.resume();
    }
  }
}

function violation(message: string, facts: Record<string, number> = {}): KmsError {
  return new KmsError('REQUEST_INVALID', message, facts);
}
