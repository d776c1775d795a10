/**
 * gRPC message framing: one flag byte, a 32-bit length, the message. Collects the single message of a unary call
 * from the chunks in which it comes, copying at most once for the sizes that matter.
 *
 * The length in front is a stranger's word: memory grows with what has come, never with what was promised.
 */
import { afterRoom, ROOM_BYTES } from '../../common/room.ts';
import type { BufferPool } from './buffer-pool.ts';
import { GrpcError, STATUS } from './status.ts';

const PREFIX_BYTES = 5;

/** Messages up to this size get their buffer at once; larger ones start here and double. */
const FIRST_BUFFER_BYTES = 256 * 1024 - ROOM_BYTES;

/** Counts the bytes that unfinished and running calls of one server hold, against one ceiling. */
export interface ByteBudget {
  /** @throws {@link GrpcError} RESOURCE_EXHAUSTED if they do not fit. */
  take(sizeBytes: number): void;
  give(sizeBytes: number): void;
  readonly used: number;
}

/** Opens a budget of `limitBytes`. */
export function openByteBudget(limitBytes: number): ByteBudget {
  let used = 0;
  return {
    take(sizeBytes) {
      if (used + sizeBytes > limitBytes) {
        throw new GrpcError(STATUS.RESOURCE_EXHAUSTED, 'too many bytes of requests in memory');
      }
      used += sizeBytes;
    },
    give(sizeBytes) {
      used -= sizeBytes;
    },
    get used() {
      return used;
    },
  };
}

/** A message as it came. */
export interface RawMessage {
  readonly compressed: boolean;
  readonly bytes: Uint8Array;
}

/** Puts one message together. Feed it with {@link push}, then ask once with {@link finish}. */
export class MessageCollector {
  readonly #maxBytes: number;
  readonly #budget: ByteBudget;
  readonly #pool: BufferPool | undefined;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixFill = 0;
  #lengthBytes = 0;
  #fill = 0;
  /** The message so far; the chunk itself when one chunk held all of it. */
  #buffer: Uint8Array | undefined;
  /** What the buffer is in, with room in front, if it is ours and not a chunk. */
  #memory: Uint8Array | undefined;
  #heldBytes = 0;

  constructor(maxBytes: number, budget: ByteBudget, pool?: BufferPool) {
    this.#maxBytes = maxBytes;
    this.#budget = budget;
    this.#pool = pool;
  }

  /** Bytes of budget held; the owner of the call gives them back with {@link release}. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @throws {@link GrpcError} RESOURCE_EXHAUSTED for a message too large, UNIMPLEMENTED for a second one. */
  push(chunk: Uint8Array): void {
    let at = 0;
    if (this.#prefixFill < PREFIX_BYTES) {
      at = Math.min(PREFIX_BYTES - this.#prefixFill, chunk.byteLength);
      this.#prefix.set(chunk.subarray(0, at), this.#prefixFill);
      this.#prefixFill += at;
      if (this.#prefixFill < PREFIX_BYTES) return;
      this.#begin();
    }
    const rest = chunk.byteLength - at;
    if (rest === 0) return;
    if (this.#fill + rest > this.#lengthBytes) {
      throw new GrpcError(STATUS.UNIMPLEMENTED, 'a unary call takes exactly one message');
    }
    if (this.#buffer === undefined && rest === this.#lengthBytes) {
      this.#hold(rest);
      this.#buffer = chunk.subarray(at);
    } else {
      const buffer = this.#room(rest);
      buffer.set(at === 0 ? chunk : chunk.subarray(at), this.#fill);
    }
    this.#fill += rest;
  }

  /** @throws {@link GrpcError} UNIMPLEMENTED if no whole message came. */
  finish(): RawMessage {
    if (this.#prefixFill < PREFIX_BYTES || this.#fill < this.#lengthBytes) {
      throw new GrpcError(STATUS.UNIMPLEMENTED, 'a unary call takes exactly one whole message');
    }
    const buffer = this.#buffer ?? new Uint8Array(0);
    const bytes = buffer.byteLength === this.#lengthBytes ? buffer : buffer.subarray(0, this.#lengthBytes);
    return { compressed: this.#prefix[0] === 1, bytes };
  }

  /** Gives all held budget back. May be called again. */
  release(): void {
    this.#budget.give(this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** Gives the message's buffer back to the pool: the bytes that {@link finish} returned are gone. */
  recycle(): void {
    if (this.#memory) this.#pool?.give(this.#memory);
    this.#buffer = undefined;
    this.#memory = undefined;
  }

  #begin(): void {
    const [flag = 0, a = 0, b = 0, c = 0, d = 0] = this.#prefix;
    if (flag > 1) throw new GrpcError(STATUS.INTERNAL, 'a message begins with flag 0 or 1');
    this.#lengthBytes = a * 0x1000000 + (b << 16) + (c << 8) + d;
    if (this.#lengthBytes > this.#maxBytes) {
      throw new GrpcError(STATUS.RESOURCE_EXHAUSTED, `a message has at most ${this.#maxBytes} bytes`);
    }
  }

  #hold(sizeBytes: number): void {
    this.#budget.take(sizeBytes);
    this.#heldBytes += sizeBytes;
  }

  /** The buffer, with room for `more` bytes after what is in it. */
  #room(more: number): Uint8Array {
    const needed = this.#fill + more;
    const old = this.#buffer;
    if (old && old.byteLength >= needed) return old;
    const size = Math.min(this.#lengthBytes, Math.max(needed, (old?.byteLength ?? 0) * 2, FIRST_BUFFER_BYTES));
    this.#hold(size - (old?.byteLength ?? 0));
    const memory = this.#pool?.take(ROOM_BYTES + size) ?? Buffer.allocUnsafeSlow(ROOM_BYTES + size);
    const buffer = afterRoom(memory);
    if (old) buffer.set(old.subarray(0, this.#fill));
    if (this.#memory) this.#pool?.give(this.#memory);
    this.#memory = memory;
    this.#buffer = buffer;
    return buffer;
  }
}

/** Puts the prefix of an uncompressed message in front of it. */
export function frameMessage(message: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  framed[0] = 0;
  framed.writeUInt32BE(message.byteLength, 1);
  framed.set(message, PREFIX_BYTES);
  return framed;
}
