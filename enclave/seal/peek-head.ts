/** What a sealed object claims of itself, before anything of it is checked: only ever compared with what is checked later. */
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import { decodeHead, MAGIC, MAX_HEAD_BYTES, PREFIX_BYTES, type SealedHead } from './sealed-head.ts';

/** Returns the head of a stored object; undefined if it is none. Reads no more than a head may have. */
export async function peekHead(storage: Pick<Storage, 'open'>, path: ObjectPath): Promise<SealedHead | undefined> {
  const { sizeBytes, stream } = await storage.open(path);
  const wanted = Math.min(sizeBytes, PREFIX_BYTES + MAX_HEAD_BYTES);
  const read = new Uint8Array(wanted);
  let at = 0;
  for await (const piece of stream) {
    const part = piece.subarray(0, wanted - at);
    read.set(part, at);
    at += part.length;
    if (at === wanted) break;
  }
  if (at < PREFIX_BYTES || !MAGIC.every((byte, i) => read[i] === byte)) return undefined;
  const size = new DataView(read.buffer).getUint32(12, true);
  return size <= at - PREFIX_BYTES ? decodeHead(read.subarray(PREFIX_BYTES, PREFIX_BYTES + size)) : undefined;
}
