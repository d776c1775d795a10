/** The eight bytes before each chunk: its place, its size, and whether it is the last. Public, and bound to the chunk. */
import { CHUNK_BYTES } from './secret-stream.ts';

/** What a frame says. */
export interface ChunkFrame {
  /** From 0. */
  readonly index: number;
  /** Bytes of content; every chunk but the last is full, and the last is empty only if all is. */
  readonly sizeBytes: number;
  readonly final: boolean;
}

/** Size of a frame. */
export const FRAME_BYTES = 8;
/** Chunks of one object. */
export const MAX_CHUNKS = 2 ** 32;
const FINAL = 0x8000_0000;

/** Writes a frame: u32 index, u32 size with its top bit set on the last; little endian. */
export function writeFrame(into: Uint8Array, { index, sizeBytes, final }: ChunkFrame): void {
  const view = new DataView(into.buffer, into.byteOffset, FRAME_BYTES);
  view.setUint32(0, index, true);
  view.setUint32(4, sizeBytes + (final ? FINAL : 0), true);
}

/** Reads a frame. */
export function readFrame(bytes: Uint8Array): ChunkFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_BYTES);
  const size = view.getUint32(4, true);
  return { index: view.getUint32(0, true), sizeBytes: size % FINAL, final: size >= FINAL };
}

/** Returns whether a frame says what one at its place may say. */
export function isPossible({ index, sizeBytes, final }: ChunkFrame): boolean {
  if (!final) return sizeBytes === CHUNK_BYTES;
  return sizeBytes <= CHUNK_BYTES && (sizeBytes > 0 || index === 0);
}
