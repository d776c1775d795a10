/**
 * Frames of `u32le length | bytes`, cut out of a stream within a bound that is checked before anything is kept.
 */

const HEADER_BYTES = 4;

/** Returns the bytes with their length in front. */
export function frame(bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(HEADER_BYTES + bytes.byteLength);
  new DataView(framed.buffer).setUint32(0, bytes.byteLength, true);
  framed.set(bytes, HEADER_BYTES);
  return framed;
}

/** Cuts frames out of chunks of any size. */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #held = 0;
  #tooLong = false;

  /** @param maxBytes - Most bytes of one frame, its length not counted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a frame claimed more than the bound; from then on nothing is read any more. */
  get tooLong(): boolean {
    return this.#tooLong;
  }

  push(chunk: Uint8Array): void {
    if (this.#tooLong) return;
    this.#chunks.push(chunk);
    this.#held += chunk.byteLength;
  }

  /** Returns the next whole frame, in memory of its own, or undefined until more came. */
  next(): Uint8Array | undefined {
    if (this.#tooLong || this.#held < HEADER_BYTES) return undefined;
    const bytes = this.#whole();
    const sizeBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (sizeBytes > this.#maxBytes) {
      this.#tooLong = true;
      this.#chunks = [];
      this.#held = 0;
      return undefined;
    }
    const end = HEADER_BYTES + sizeBytes;
    if (this.#held < end) return undefined;
    this.#chunks = this.#held === end ? [] : [bytes.subarray(end)];
    this.#held -= end;
    // Not `slice`: a Buffer's is a view into memory that the stream uses again.
    return new Uint8Array(bytes.subarray(HEADER_BYTES, end));
  }

  #whole(): Uint8Array {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const whole = new Uint8Array(this.#held);
    let at = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, at);
      at += chunk.byteLength;
    }
    this.#chunks = [whole];
    return whole;
  }
}
