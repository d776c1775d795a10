/**
 * A list of byte strings, some of them absent, as one message. One encoding for each list, so equal lists have equal
 * hashes. What does not parse is nothing at all: the sender lied or failed, and protocols say what that means.
 *
 * Format: u32 count, then for each part u32 size + 1 (0: absent) and its bytes; little-endian, nothing after it.
 */

/** A byte string, or nothing. */
export type Part = Uint8Array | undefined;

/** Encodes a list into memory of its own. */
export function packParts(parts: readonly Part[]): Uint8Array<ArrayBuffer> {
  const sizeBytes = parts.reduce((sum, part) => sum + 4 + (part?.byteLength ?? 0), 4);
  const packed = new Uint8Array(sizeBytes);
  const view = new DataView(packed.buffer);
  view.setUint32(0, parts.length, true);
  let at = 4;
  for (const part of parts) {
    view.setUint32(at, part ? part.byteLength + 1 : 0, true);
    at += 4;
    if (!part) continue;
    packed.set(part, at);
    at += part.byteLength;
  }
  return packed;
}

/** Reads a list of exactly `count` parts, as views of `packed`; undefined if it is anything else. */
export function unpackParts(packed: Uint8Array | undefined, count: number): Part[] | undefined {
  if (!packed || packed.byteLength < 4) return undefined;
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (view.getUint32(0, true) !== count) return undefined;
  const parts: Part[] = [];
  let at = 4;
  while (parts.length < count) {
    if (at + 4 > packed.byteLength) return undefined;
    const size = view.getUint32(at, true);
    at += 4;
    if (size === 0) {
      parts.push(undefined);
      continue;
    }
    if (at + size - 1 > packed.byteLength) return undefined;
    parts.push(packed.subarray(at, at + size - 1));
    at += size - 1;
  }
  return at === packed.byteLength ? parts : undefined;
}
