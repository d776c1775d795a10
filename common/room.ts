/**
 * Room in front of large content for the head that it is sent behind: both then lie side by side, and neither is copied.
 */

/** Room that is kept. */
export const ROOM_BYTES = 64;

/** Buffers whose room nobody has taken yet. */
const roomy = new WeakSet<ArrayBufferLike>();

/** Returns what follows the room of memory that has an ArrayBuffer to itself. The room is on offer from then on. */
export function afterRoom(memory: Uint8Array): Uint8Array {
  roomy.add(memory.buffer);
  return memory.subarray(ROOM_BYTES);
}

/**
 * Takes the room in front of content: returns the content with `sizeBytes` before it, or undefined where there is no room.
 * It is given once, since what was written there may wait to be sent.
 */
export function takeRoom(content: Uint8Array, sizeBytes: number): Uint8Array | undefined {
  if (content.byteOffset !== ROOM_BYTES || sizeBytes > ROOM_BYTES || !roomy.delete(content.buffer)) return undefined;
  return new Uint8Array(content.buffer, ROOM_BYTES - sizeBytes, sizeBytes + content.byteLength);
}
