/**
 * A session's messages to one peer, kept until the peer has gone on to a later round: if the connection between is
 * lost they are sent again on the next one, where a message that came twice counts once. Payloads may be shares: they are
 * wiped when they are no longer kept. A frame is one byte, 1 if the message goes on in the next frame and 0 if it ends,
 * and a piece of the message; frames of one message follow one another. Format: docs/formats/mpc-sessions.md.
 */
import type { FrameLink } from '../../attestation/mesh/frame-link.ts';
import type { FrameSession } from '../../attestation/mesh/frame-session.ts';
import { concatBytes } from '../../common/bytes.ts';
import { type ErrorCode, isKmsError, type KmsError } from '../../common/errors.ts';

/** Largest piece of a message; links take at least as much. */
export const PIECE_BYTES = 512 * 1024;
/** Mark of a message's last piece. */
export const LAST = 0;
/** Mark of every other piece. */
export const MORE = 1;

/** What is kept for one peer; a session that sends more at a time ends with its connection. */
const MOST_KEPT_BYTES = 16 * 1024 * 1024;
/** A peer that cannot or will not read, or our own session ended. */
const PEER_GONE: ReadonlySet<ErrorCode> = new Set(['ABORTED', 'CANCELLED', 'STATE_INVALID', 'UNAVAILABLE']);

interface Message {
  readonly round: number;
  readonly payload: Uint8Array;
  /** The payload may be changed again. */
  readonly sent: () => void;
}

/** See the file comment. */
export class Outgoing {
  /** The session that the messages go out on. */
  readonly flow: FrameSession;
  readonly #onError: (error: KmsError) => void;
  #kept: Message[] = [];
  #keptBytes = 0;
  #isWhole = true;
  #closed = false;

  /** @throws KmsError what the link's `open` throws. */
  constructor(link: FrameLink, id: Uint8Array, onError: (error: KmsError) => void) {
    this.#onError = onError;
    this.flow = link.open(id, { resend: () => this.#resend() });
  }

  /** Sends a message; calls `sent` when its payload may be changed. */
  send(round: number, payload: Uint8Array, sent: () => void): void {
    const message = { round, payload, sent };
    this.#write(message);
    this.#kept.push(message);
    this.#keptBytes += payload.byteLength;
    if (this.#keptBytes <= MOST_KEPT_BYTES && !this.#closed) return;
    this.#isWhole = false;
    this.forget();
  }

  /** The peer has spoken in a round: it reads no earlier ones any more. */
  heard(round: number): void {
    this.forget(({ round: of }) => of < round);
  }

  /** Keeps messages no longer, all or some. */
  forget(which: (message: Message) => boolean = () => true): void {
    const kept: Message[] = [];
    for (const message of this.#kept) {
      if (!which(message)) {
        kept.push(message);
        continue;
      }
      this.#keptBytes -= message.payload.byteLength;
      message.sent();
    }
    this.#kept = kept;
  }

  /** Ends at once. */
  close(): void {
    this.#closed = true;
    this.flow.close();
    this.forget();
  }

  #resend(): void {
    // The peer would wait for what is kept no longer.
    if (!this.#isWhole) this.close();
    for (const message of this.#kept) this.#write(message);
  }

  /** A peer that takes no frames any more is noticed where its frames are read; any other error is told. */
  #write({ round, payload }: Message): void {
    let from = 0;
    do {
      const to = Math.min(from + PIECE_BYTES, payload.byteLength);
      const mark = Uint8Array.of(to < payload.byteLength ? MORE : LAST);
      void this.#writePiece(round, concatBytes(mark, payload.subarray(from, to)));
      from = to;
    } while (from < payload.byteLength);
  }

  async #writePiece(round: number, frame: Uint8Array): Promise<void> {
    try {
      await this.flow.send(round, frame);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      if (!PEER_GONE.has(error.code)) this.#onError(error);
    } finally {
      frame.fill(0);
    }
  }
}
