/**
 * The receiving half of a frame channel: counts what each flow may still send and what all of them hold here, and
 * refuses the rest before memory is taken for it.
 */
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
  readonly #limits: FrameLimits;
  readonly #host: ReceiverHost;
  readonly #flows = new Map<number, InFlow>();
  readonly #largestCost: number;
  #last = 0;
  /** What the windows of all flows add up to, but for the first credit of each. */
  #granted = 0;

  /** Data frames that came, the bytes of their payloads, and how many of the frames nobody wanted. */
  frames = 0;
  payloadBytes = 0;
  dropped = 0;
  /** What is held and not read yet. */
  bufferedBytes = 0;

  constructor(limits: FrameLimits, host: ReceiverHost) {
    this.#limits = limits;
    this.#largestCost = limits.maxPayloadBytes + FRAME_COST_BYTES;
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
      accept: (accepted) => this.#grant(accepted),
    });
    flow.window = this.#limits.firstCreditBytes;
    flow.allowance = flow.window;
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
    this.bufferedBytes -= payload.byteLength + FRAME_COST_BYTES;
  }

  /** The peer ends a flow. */
  end(number: number): void {
    const flow = this.#flows.get(number);
    if (!flow) throw violation('the end of a session that is not open', { number });
    this.#flows.delete(number);
    this.#granted -= flow.window - this.#limits.firstCreditBytes;
    flow.end();
    this.#host.onEnded();
  }

  /** Fails every flow: nothing comes any more. */
  fail(error: KmsError): void {
    for (const flow of this.#flows.values()) flow.fail(error);
    this.#flows.clear();
  }

  #release(flow: InFlow, cost: number): void {
    this.bufferedBytes -= cost;
    if (flow.stopped || flow.ended) return;
    flow.unreturned += cost;
    if (!flow.accepted) return;
    // Seldom, to save frames; but a flow whose frames are all read must have room for the largest.
    if (flow.unreturned * 2 >= flow.window || flow.unreturned > flow.window - this.#largestCost) this.#grant(flow);
  }

  /** Gives back what was read, and widens the window while there is room; one largest frame fits in any case. */
  #grant(flow: InFlow): void {
    if (this.#flows.get(flow.number) !== flow) return;
    const { windowBytes, poolBytes } = this.#limits;
    const room = Math.max(poolBytes - this.#granted, 0);
    const window = Math.max(Math.min(windowBytes, flow.window + room), this.#largestCost, flow.window);
    const bytes = flow.unreturned + window - flow.window;
    this.#granted += window - flow.window;
    flow.window = window;
    if (bytes === 0) return;
    flow.unreturned = 0;
    flow.allowance += bytes;
    this.#host.control(controlFrame(MESH_FRAME.credit, flow.number, bytes));
  }
}

function violation(message: string, facts: Record<string, number> = {}): KmsError {
  return new KmsError('REQUEST_INVALID', message, facts);
}
