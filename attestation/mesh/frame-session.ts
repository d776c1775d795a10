/**
 * One session with one peer: frames out on the connection that was newest when it began, frames in from whichever
 * connection the peer chose. Sessions of both ends meet by their id, so a renewal between the two openings is no matter.
 *
 * A session that its owner can resume outlives its connections: each direction begins again on the next one, and the
 * owner sends again what may have been lost.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { FrameChannel } from './frame-channel.ts';
import type { InFlow, OutFlow, ReceivedFrame } from './frame-flows.ts';

/** What a session's owner does with it. */
export interface FrameSession extends AsyncIterable<ReceivedFrame> {
  /** 32 bytes in hexadecimal. */
  readonly id: string;
  /** How often the peer has begun to send anew, up to the frame that was received last. */
  readonly restarts: number;
  /**
   * Sends a frame. Resolves when the payload may be changed again, which is when the peer's window and the connection
   * have had room for it. Frames arrive in the order of the calls.
   *
   * @param round - 0 to 2^32 - 1; the channel gives it no meaning.
   * @throws KmsError `REQUEST_INVALID` for a round or a size out of range, `ABORTED` when the peer wants no more,
   * `UNAVAILABLE` when the connection has ended.
   */
  send(round: number, payload: Uint8Array): Promise<void>;
  /**
   * Returns the next frame, or undefined after the peer's last one. Read also while sending: two sessions that both
   * only send wait for each other once their windows are full.
   *
   * @throws KmsError `UNAVAILABLE` when the connection ended before the session, `CANCELLED` by the signal.
   */
  receive(signal?: AbortSignal): Promise<ReceivedFrame | undefined>;
  /** Sends no more; what the peer sends can still be read. */
  end(): void;
  /** Ends the session both ways at once: what has not left yet, and what is still to come, is dropped. */
  close(): void;
}

/** What a session needs of its link. */
export interface SessionHost {
  readonly nowMs: () => number;
  /** Opens the outgoing direction on a connection. */
  readonly openFlow: (channel: FrameChannel, failed: (error: KmsError) => void) => OutFlow;
  /** The session is over; forget it. If the peer has not opened it yet, it is not wanted later either. */
  readonly forget: (opened: boolean) => void;
  /** The peer has to begin anew before long; see {@link LinkSession.giveUp}. */
  readonly onLost: () => void;
  /** Sends again what may have been lost, if the session can be resumed at all. */
  readonly resend: (() => void) | undefined;
}

/** A session as its link sees it. */
export class LinkSession implements FrameSession {
  readonly id: string;
  readonly #host: SessionHost;
  #arrival = arrival();
  #channel: FrameChannel | undefined;
  #out: OutFlow | undefined;
  #in: InFlow | undefined;
  #inChannel: FrameChannel | undefined;
  #read: InFlow | undefined;
  #restarts = 0;
  #sendEnded = false;
  #closed = false;
  #lostMs: number | undefined;

  constructor(id: string, host: SessionHost) {
    this.id = id;
    this.#host = host;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Since when it has lacked a direction from the peer that was there, or could have been. */
  get lostMs(): number | undefined {
    return this.#lostMs;
  }

  /** Opens the own direction on a connection. */
  begin(channel: FrameChannel): void {
    this.#out = this.#host.openFlow(channel, (error) => this.#cutOff(error));
    this.#channel = channel;
  }

  /** Opens the own direction again, if its connection was lost. */
  resume(channel: FrameChannel): void {
    if (this.#channel || this.#closed) return;
    try {
      this.begin(channel);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      this.giveUp(error);
      return;
    }
    this.#host.resend?.();
    if (this.#sendEnded) this.#out?.end();
  }

  /**
   * The flow that the peer opened.
   *
   * @throws KmsError `REQUEST_INVALID` if there is one already, but for one that begins again on another connection.
   */
  meet(flow: InFlow, channel: FrameChannel): void {
    const isAgain = this.#host.resend !== undefined && channel !== this.#inChannel;
    if (this.#inChannel && !isAgain) throw new KmsError('REQUEST_INVALID', 'a session was opened twice');
    if (this.#in?.ended) {
      flow.stop(); // all of it is here
      return;
    }
    const before = this.#in;
    this.#in = flow;
    this.#inChannel = channel;
    this.#lostMs = undefined;
    before?.stop();
    flow.accept();
    this.#arrival.resolve(flow);
  }

  /** A connection has ended with this session on it. */
  detached(channel: FrameChannel): void {
    if (this.#channel !== channel || !this.#host.resend) return;
    this.#channel = undefined;
    if (!this.#in) this.lost();
  }

  /** The peer's direction is lost, or has not come yet and may have been lost. */
  lost(): void {
    this.#lostMs ??= this.#host.nowMs();
    this.#host.onLost();
  }

  /** The peer has not begun again in time. */
  giveUp(error: KmsError): void {
    this.#lostMs = undefined;
    this.#arrival.reject(error);
  }

  /** Our flow was cut off. A peer that reads no more may still write; a connection that ended does neither. */
  #cutOff(error: KmsError): void {
    if (isKmsError(error, 'UNAVAILABLE') && !this.#host.resend) this.#arrival.reject(error);
  }

  async send(round: number, payload: Uint8Array): Promise<void> {
    if (!Number.isInteger(round) || round < 0 || round > 0xffff_ffff) {
      throw new KmsError('REQUEST_INVALID', 'a round is a number of 32 bits');
    }
    if (!this.#out) throw new KmsError('UNAVAILABLE', 'the session waits for a connection');
    const maxPayloadBytes = this.#channel?.maxPayloadBytes ?? Number.POSITIVE_INFINITY;
    if (payload.byteLength > maxPayloadBytes) {
      const facts = { sizeBytes: payload.byteLength, maxPayloadBytes };
      throw new KmsError('REQUEST_INVALID', 'a payload is larger than the peer takes', facts);
    }
    await this.#out.send(round, payload);
  }

  async receive(signal?: AbortSignal): Promise<ReceivedFrame | undefined> {
    for (;;) {
      const flow = this.#in ?? (await until(this.#arrival.promise, signal));
      try {
        const frame = await flow.receive(signal);
        if (this.#read && this.#read !== flow) this.#restarts += 1;
        this.#read = flow;
        if (frame === undefined && this.#sendEnded) this.#host.forget(true);
        return frame;
      } catch (error) {
        if (!this.#isReplaced(flow, error)) throw error;
      }
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedFrame, void, undefined> {
    for (;;) {
      const frame = await this.receive();
      if (!frame) return;
      yield frame;
    }
  }

  end(): void {
    this.#sendEnded = true;
    this.#out?.end();
    if (this.#in?.ended) this.#host.forget(true);
  }

  close(): void {
    this.#closed = true;
    this.#out?.cancel();
    this.#in?.stop();
    this.#arrival.reject(new KmsError('CANCELLED', 'the session was closed'));
    this.#host.forget(this.#inChannel !== undefined);
  }

  /** Whether another flow has taken the place of one that failed, or is to be waited for. */
  #isReplaced(flow: InFlow, error: unknown): boolean {
    if (this.#closed || !this.#host.resend) return false;
    if (this.#in !== flow) return true;
    if (!isKmsError(error, 'UNAVAILABLE')) return false;
    this.#in = undefined;
    this.#arrival = arrival();
    this.lost();
    return true;
  }
}

function arrival(): PromiseWithResolvers<InFlow> {
  const resolvers = Promise.withResolvers<InFlow>();
  resolvers.promise.catch(() => undefined); // told to whoever receives
  return resolvers;
}

/** Waits for `promise` no longer than the signal says. */
async function until<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new KmsError('CANCELLED', 'no longer waiting for the peer to open the session'));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
