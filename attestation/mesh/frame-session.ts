/**
 * One session with one peer: frames out on the connection that was newest when it began, frames in from whichever
 * connection the peer chose. Sessions of both ends meet by their id, so a renewal between the two openings is no matter.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { InFlow, OutFlow, ReceivedFrame } from './frame-flows.ts';

/** What a session's owner does with it. */
export interface FrameSession extends AsyncIterable<ReceivedFrame> {
  /** 32 bytes in hexadecimal. */
  readonly id: string;
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
  readonly maxPayloadBytes: number;
  /** The session is over; forget it. If the peer has not opened it yet, it is not wanted later either. */
  forget(id: string, opened: boolean): void;
}

/** A session as its link sees it. */
export class LinkSession implements FrameSession {
  readonly id: string;
  readonly #host: SessionHost;
  readonly #arrival = Promise.withResolvers<InFlow>();
  #out: OutFlow | undefined;
  #in: InFlow | undefined;
  #sendEnded = false;

  constructor(id: string, host: SessionHost) {
    this.id = id;
    this.#host = host;
    this.#arrival.promise.catch(() => undefined); // told to whoever receives
  }

  /** The flow that this side opened. */
  begin(out: OutFlow): void {
    this.#out = out;
  }

  /**
   * The flow that the peer opened.
   *
   * @throws KmsError `REQUEST_INVALID` if there is one already.
   */
  meet(flow: InFlow): void {
    if (this.#in) throw new KmsError('REQUEST_INVALID', 'a session was opened twice');
    this.#in = flow;
    flow.accept();
    this.#arrival.resolve(flow);
  }

  /** Our flow was cut off. A peer that reads no more may still write; a connection that ended does neither. */
  cutOff(error: KmsError): void {
    if (isKmsError(error, 'UNAVAILABLE')) this.#arrival.reject(error);
  }

  async send(round: number, payload: Uint8Array): Promise<void> {
    if (!Number.isInteger(round) || round < 0 || round > 0xffff_ffff) {
      throw new KmsError('REQUEST_INVALID', 'a round is a number of 32 bits');
    }
    const { maxPayloadBytes } = this.#host;
    if (payload.byteLength > maxPayloadBytes) {
      const facts = { sizeBytes: payload.byteLength, maxPayloadBytes };
      throw new KmsError('REQUEST_INVALID', 'a payload is larger than the peer takes', facts);
    }
    if (!this.#out) throw new KmsError('STATE_INVALID', 'the session is closed');
    await this.#out.send(round, payload);
  }

  async receive(signal?: AbortSignal): Promise<ReceivedFrame | undefined> {
    const flow = this.#in ?? (await until(this.#arrival.promise, signal));
    const frame = await flow.receive(signal);
    if (frame === undefined && this.#sendEnded) this.#host.forget(this.id, true);
    return frame;
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
    if (this.#in?.ended) this.#host.forget(this.id, true);
  }

  close(): void {
    this.#out?.cancel();
    this.#in?.stop();
    this.#arrival.reject(new KmsError('CANCELLED', 'the session was closed'));
    this.#host.forget(this.id, this.#in !== undefined);
  }
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
