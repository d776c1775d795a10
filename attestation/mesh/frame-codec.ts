/**
 * Frames of engine-to-engine data: `u32le length | u8 kind | body`, where length counts everything after itself.
 *
 * The peer has proven which code it runs and is bounded all the same: a length is checked by kind, and a payload is
 * admitted by whoever keeps count, before anything is allocated. Format: docs/formats/mesh-frames.md.
 */
import { KmsError } from '../../common/errors.ts';

/** Raised with every change that an older peer could not read; both ends must agree. */
export const FRAMES_VERSION = 1;

/** What a frame is. Numbers name flows: each side counts its own, from 1. */
export const MESH_FRAME = {
  /** u16 version, u32 largest payload, u32 first credit of a flow, u32 most flows: the first frame each way. */
  hello: 1,
  /** u32 number, 32 B session id: the sender's frames of that session will bear that number. */
  open: 2,
  /** u32 number, u32 round, payload. */
  data: 3,
  /** u32 number (of the receiver of this frame), u32 bytes: so much more may be sent. */
  credit: 4,
  /** u32 number: the sender's last frame of that session. */
  end: 5,
  /** u32 number (of the receiver of this frame): nobody wants the rest; answer with end. */
  stop: 6,
  /** Empty: the sender will open no more flows on this connection. */
  retire: 7,
} as const;
export type MeshFrameKind = (typeof MESH_FRAME)[keyof typeof MESH_FRAME];

/** Bytes of a session id. */
export const SESSION_ID_BYTES = 32;
/** Bytes before the payload of a data frame. */
export const DATA_HEADER_BYTES = 13;
/** What a frame costs of a flow's credit besides its payload: the memory that holds it. */
export const FRAME_COST_BYTES = 64;

const PREFIX_BYTES = 5;
/** Body sizes by kind; data is open-ended. */
const BODY_BYTES: readonly (number | undefined)[] = [undefined, 14, 4 + SESSION_ID_BYTES, 8, 8, 4, 4, 0];
const LONGEST_HEAD_BYTES = PREFIX_BYTES + 4 + SESSION_ID_BYTES;

/** Where {@link FrameReader} hands over what it read. */
export interface FrameSink {
  /** A frame other than data. `body` is borrowed until the call returns. */
  control(kind: Exclude<MeshFrameKind, 3>, body: DataView): void;
  /**
   * Says whether the payload of a data frame is kept; called before memory is taken for it.
   *
   * @throws KmsError to end the connection.
   */
  admit(number: number, payloadBytes: number): boolean;
  /** A data frame that was admitted. `shared` is the size of the memory that the payload is a view of. */
  data(number: number, round: number, payload: Uint8Array, sharedBytes: number): void;
}

/**
 * Cuts a byte stream into frames. A payload that lies in one chunk is a view of it; one that spans chunks is copied
 * once, into memory of its own.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #head = new Uint8Array(LONGEST_HEAD_BYTES);
  readonly #headView = new DataView(this.#head.buffer);
  #headFilled = 0;
  #number = 0;
  #round = 0;
  #payload: Uint8Array | undefined;
  #filled = 0;
  #skip = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /**
   * Takes the next received bytes.
   *
   * @throws KmsError `REQUEST_INVALID` for an unknown kind or a size out of bounds, and what the sink throws. The
   * reader is unusable then: the stream has lost its frame boundaries.
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#payload) at = this.#fill(this.#payload, chunk, at);
      else if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.byteLength - at);
        this.#skip -= skipped;
        at += skipped;
      } else at = this.#readHead(chunk, at);
    }
  }

  #fill(payload: Uint8Array, chunk: Uint8Array, at: number): number {
    const taken = Math.min(payload.byteLength - this.#filled, chunk.byteLength - at);
    payload.set(chunk.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    if (this.#filled === payload.byteLength) {
      this.#payload = undefined;
      this.#sink.data(this.#number, this.#round, payload, payload.byteLength);
    }
    return at + taken;
  }

  #readHead(chunk: Uint8Array, at: number): number {
    let next = this.#collect(chunk, at, PREFIX_BYTES);
    if (this.#headFilled < PREFIX_BYTES) return next;
    const bodyBytes = this.#headView.getUint32(0, true) - 1;
    const kind = this.#headView.getUint8(4);
    const fixed = BODY_BYTES[kind];
    if (!isKind(kind) || fixed === undefined) throw invalid('unknown frame kind', { kind });
    const fits = kind === MESH_FRAME.data ? bodyBytes >= fixed : bodyBytes === fixed;
    if (!fits) throw invalid('a frame has the wrong length', { kind, bodyBytes });
    next = this.#collect(chunk, next, PREFIX_BYTES + fixed);
    if (this.#headFilled < PREFIX_BYTES + fixed) return next;
    this.#headFilled = 0;
    if (kind !== MESH_FRAME.data) {
      this.#sink.control(kind, new DataView(this.#head.buffer, PREFIX_BYTES, fixed));
      return next;
    }
    this.#number = this.#headView.getUint32(5, true);
    this.#round = this.#headView.getUint32(9, true);
    return this.#beginPayload(bodyBytes - fixed, chunk, next);
  }

  #beginPayload(payloadBytes: number, chunk: Uint8Array, at: number): number {
    if (!this.#sink.admit(this.#number, payloadBytes)) {
      this.#skip = payloadBytes;
      return at;
    }
    const end = at + payloadBytes;
    if (end <= chunk.byteLength) {
      this.#sink.data(this.#number, this.#round, chunk.subarray(at, end), chunk.byteLength);
      return end;
    }
    // Filled completely before anyone sees it, so it need not be zeroed first.
    this.#payload = Buffer.allocUnsafeSlow(payloadBytes);
    this.#filled = 0;
    return at;
  }

  #collect(chunk: Uint8Array, at: number, upTo: number): number {
    const end = Math.min(at + Math.max(upTo - this.#headFilled, 0), chunk.byteLength);
    // A loop beats subarray and set for a handful of bytes.
    for (let from = at; from < end; from++) this.#head[this.#headFilled++] = chunk[from] ?? 0;
    return end;
  }
}

/** Writes the header of a data frame at `at`. */
export function writeDataHeader(into: DataView, at: number, number: number, round: number, payloadBytes: number): void {
  into.setUint32(at, 1 + 8 + payloadBytes, true);
  into.setUint8(at + 4, MESH_FRAME.data);
  into.setUint32(at + 5, number, true);
  into.setUint32(at + 9, round, true);
}

/** Returns a frame that is nothing but numbers, each a u32. */
export function controlFrame(kind: 4 | 5 | 6 | 7, ...numbers: readonly number[]): Uint8Array {
  const { frame, view } = newFrame(kind, 4 * numbers.length);
  for (const [index, number] of numbers.entries()) view.setUint32(PREFIX_BYTES + 4 * index, number, true);
  return frame;
}

/** Returns an open frame. */
export function openFrame(number: number, sessionId: Uint8Array): Uint8Array {
  const { frame, view } = newFrame(MESH_FRAME.open, 4 + SESSION_ID_BYTES);
  view.setUint32(PREFIX_BYTES, number, true);
  frame.set(sessionId, PREFIX_BYTES + 4);
  return frame;
}

/** What a side tells about itself before anything else. */
export interface FramesHello {
  readonly maxPayloadBytes: number;
  readonly firstCreditBytes: number;
  readonly maxFlows: number;
}

/** Returns a hello frame. */
export function helloFrame({ maxPayloadBytes, firstCreditBytes, maxFlows }: FramesHello): Uint8Array {
  const { frame, view } = newFrame(MESH_FRAME.hello, 14);
  view.setUint16(PREFIX_BYTES, FRAMES_VERSION, true);
  view.setUint32(PREFIX_BYTES + 2, maxPayloadBytes, true);
  view.setUint32(PREFIX_BYTES + 6, firstCreditBytes, true);
  view.setUint32(PREFIX_BYTES + 10, maxFlows, true);
  return frame;
}

/**
 * Reads the body of a hello frame.
 *
 * @throws KmsError `PRECONDITION_FAILED` for another version.
 */
export function parseHello(body: DataView): FramesHello {
  const version = body.getUint16(0, true);
  if (version !== FRAMES_VERSION) {
    throw new KmsError('PRECONDITION_FAILED', `frames need version ${FRAMES_VERSION} on both sides`, { version });
  }
  return {
    maxPayloadBytes: body.getUint32(2, true),
    firstCreditBytes: body.getUint32(6, true),
    maxFlows: body.getUint32(10, true),
  };
}

function newFrame(kind: MeshFrameKind, bodyBytes: number): { frame: Uint8Array; view: DataView } {
  const frame = new Uint8Array(PREFIX_BYTES + bodyBytes);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 1 + bodyBytes, true);
  view.setUint8(4, kind);
  return { frame, view };
}

function isKind(kind: number): kind is MeshFrameKind {
  return kind >= MESH_FRAME.hello && kind <= MESH_FRAME.retire;
}

function invalid(message: string, facts: Record<string, number>): KmsError {
  return new KmsError('REQUEST_INVALID', message, facts);
}
