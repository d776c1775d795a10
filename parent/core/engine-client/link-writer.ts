/**
 * Writes frames to the engine piece by piece. What TLS is handed together it copies into one new buffer first, which
 * costs more than encrypting bodies of 99 KB does. Small pieces are gathered: each would be a record and a system call.
 */
import type { Writable } from 'node:stream';

/** Pieces that fit into one TLS record; those in a row leave together. */
const SMALL_BYTES = 16 * 1024;

/** The writing end of one connection: nothing else writes to its stream. */
export class LinkWriter {
  readonly #stream: Writable;
  #pieces: Uint8Array[] = [];
  #isWriting = false;

  /** Bytes that wait to be sent. */
  queuedBytes = 0;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /** Sends what is written now, and in this turn of the event loop, after what was written before. */
  write(parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      this.#pieces.push(part);
      this.queuedBytes += part.byteLength;
    }
    if (this.#isWriting) return;
    this.#isWriting = true;
    process.nextTick(() => this.#next());
  }

  #next(): void {
    const piece = this.#take();
    if (!piece) {
      this.#isWriting = false;
      return;
    }
    this.#stream.write(piece, (error) => {
      this.queuedBytes -= piece.byteLength;
      if (!error) this.#next(); // else the stream has ended, and its owner hears of that
    });
  }

  #take(): Uint8Array | undefined {
    const large = this.#pieces.findIndex(({ byteLength }) => byteLength > SMALL_BYTES);
    const count = large < 0 ? this.#pieces.length : large;
    return count > 1 ? Buffer.concat(this.#pieces.splice(0, count)) : this.#pieces.shift();
  }
}
