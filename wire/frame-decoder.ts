/**
 * Reads the frames of the link between Core and engine off a byte stream. Everything that comes in is hostile.
 */
import { KmsError } from '../common/errors.ts';
import { FRAME_HEADER_BYTES, FRAME_KIND, type Frame, type FrameKind, parseFrameHeader } from './frames.ts';

/**
 * Cuts a byte stream into frames. A payload that lies in one chunk is handed out as a view of it; one that spans
 * chunks is copied once, into memory allocated after its length was checked.
 *
 * After an error the decoder is unusable: the stream has lost its frame boundaries.
 */
export class FrameDecoder {
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  #kind: FrameKind = FRAME_KIND.hello;
  #callId = 0;
  #payload: Uint8Array | undefined;
  #payloadFilled = 0;
  #broken = false;

  /** Bytes of an unfinished frame that have been received; 0 between frames. */
  get pendingBytes(): number {
    return this.#payload === undefined ? this.#headerFilled : FRAME_HEADER_BYTES + this.#payloadFilled;
  }

  /**
   * Takes the next received bytes and returns the frames that they complete, in order.
   *
   * @throws {@link KmsError} `REQUEST_INVALID` for an unknown kind or a length out of its bounds.
   */
  push(chunk: Uint8Array): Frame[] {
    if (this.#broken) {
      throw new KmsError('REQUEST_INVALID', 'the link has lost its frame boundaries');
    }
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#payload === undefined) {
        at += this.#takeHeader(chunk, at);
        if (this.#headerFilled < FRAME_HEADER_BYTES) break;
        const sizeBytes = this.#readHeader();
        if (sizeBytes <= chunk.byteLength - at) {
          frames.push(this.#finish(chunk.subarray(at, at + sizeBytes)));
          at += sizeBytes;
          continue;
        }
        // Filled completely before anyone sees it, so it need not be zeroed first.
        this.#payload = Buffer.allocUnsafeSlow(sizeBytes);
        this.#payloadFilled = 0;
      }
      const taken = Math.min(this.#payload.byteLength - this.#payloadFilled, chunk.byteLength - at);
      this.#payload.set(chunk.subarray(at, at + taken), this.#payloadFilled);
      this.#payloadFilled += taken;
      at += taken;
      if (this.#payloadFilled === this.#payload.byteLength) frames.push(this.#finish(this.#payload));
    }
    return frames;
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const taken = Math.min(FRAME_HEADER_BYTES - this.#headerFilled, chunk.byteLength - at);
    this.#header.set(chunk.subarray(at, at + taken), this.#headerFilled);
    this.#headerFilled += taken;
    return taken;
  }

  #readHeader(): number {
    this.#broken = true;
    const { kind, callId, payloadBytes } = parseFrameHeader(this.#header);
    this.#broken = false;
    this.#kind = kind;
    this.#callId = callId;
    return payloadBytes;
  }

  #finish(payload: Uint8Array): Frame {
    this.#headerFilled = 0;
    this.#payload = undefined;
    this.#payloadFilled = 0;
    return { kind: this.#kind, callId: this.#callId, payload };
  }
}
