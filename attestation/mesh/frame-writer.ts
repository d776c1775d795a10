/**
 * Writes frames to a stream: headers and small payloads are gathered in one piece of memory, large payloads go out as
 * they are.
 */
import type { Duplex } from 'node:stream';
import type { KmsError } from '../../common/errors.ts';
import { DATA_HEADER_BYTES, writeDataHeader } from './frame-codec.ts';
import type { OutgoingFrame } from './frame-flows.ts';

/** Payloads up to this size are copied: an entry in the stream's own queue costs more. */
const COPIED_BYTES = 4096;
const SLAB_BYTES = 64 * 1024;

/** The writing end of one connection. Between {@link write} calls nothing else may write to the stream. */
export class FrameWriter {
  readonly #stream: Duplex;
  readonly #failure: () => KmsError;
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #view = new DataView(this.#slab.buffer);
  #from = 0;
  #to = 0;
  #copied: OutgoingFrame[] = [];

  /** @param failure - The error of frames that the stream could not take. */
  constructor(stream: Duplex, failure: () => KmsError) {
    this.#stream = stream;
    this.#failure = failure;
  }

  /**
   * Writes one data frame. Its `sent` runs once the payload is no longer needed.
   *
   * @param then - Runs when a payload that was not copied has left.
   */
  write(number: number, frame: OutgoingFrame, then: () => void): void {
    const { payload, round } = frame;
    const small = payload.byteLength <= COPIED_BYTES;
    if (SLAB_BYTES - this.#to < DATA_HEADER_BYTES + (small ? payload.byteLength : 0)) this.#renew();
    writeDataHeader(this.#view, this.#to, number, round, payload.byteLength);
    this.#to += DATA_HEADER_BYTES;
    if (small) {
      this.#slab.set(payload, this.#to);
      this.#to += payload.byteLength;
      this.#copied.push(frame);
      return;
    }
    this.flush(then);
    this.#stream.write(payload, (error) => {
      if (error) frame.failed(this.#failure());
      else frame.sent();
      then();
    });
  }

  /** Bytes gathered and not written yet. */
  get gatheredBytes(): number {
    return this.#to - this.#from;
  }

  /** Hands what was gathered to the stream. */
  flush(then: () => void): void {
    if (this.#to > this.#from) this.#stream.write(this.#slab.subarray(this.#from, this.#to), then);
    this.#from = this.#to;
    const copied = this.#copied;
    if (copied.length === 0) return;
    this.#copied = [];
    for (const frame of copied) frame.sent();
  }

  /** Memory that the stream may still be sending from is never written again. */
  #renew(): void {
    this.flush(() => undefined);
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#view = new DataView(this.#slab.buffer);
    this.#from = 0;
    this.#to = 0;
  }
}
