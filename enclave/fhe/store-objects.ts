/**
 * Brings the public objects of a generation to the Core: digests first, then each object whole.
 */
import type { NativeBytes } from '../../native/engine/index.ts';
import type { HASH_TAG } from '../../wire/hash.ts';
import { type PublicDataType, publicDataTypeNumber } from '../../wire/public-data.ts';
import type { EngineCall, ObjectSource } from '../call.ts';
import { aborted } from './generation-queue.ts';

/** A public object that was made and not handed over yet. */
export interface MadeObject {
  readonly type: PublicDataType;
  readonly bytes: NativeBytes;
}

/** A public object with its digest. */
export interface DigestedObject extends MadeObject {
  readonly digest: Uint8Array;
}

const REPORT_EVERY_BYTES = 16 * 1024 * 1024;

/** Returns the objects in the order of their types, each with the digest of its bytes. */
export async function digestObjects(
  tag: (typeof HASH_TAG)['key' | 'crs'],
  objects: readonly MadeObject[],
): Promise<DigestedObject[]> {
  const tagBytes = new TextEncoder().encode(tag);
  const digested: DigestedObject[] = [];
  for (const object of objects) digested.push({ ...object, digest: await object.bytes.digest(tagBytes) });
  return digested.sort((a, b) => publicDataTypeNumber(a.type) - publicDataTypeNumber(b.type));
}

/** Where an object goes. */
export interface Placement {
  readonly id: string;
  readonly replace: boolean;
}

/**
 * Streams objects to the Core, one after the other, and reports how far it got: here bytes are counted, not guessed.
 *
 * @param range - The part of the whole generation that storing is.
 * @throws KmsError with the Core's reason if it cannot store one; `ABORTED`.
 */
export async function storeObjects(
  call: Pick<EngineCall, 'objects' | 'report' | 'signal'>,
  objects: readonly (DigestedObject & Placement)[],
  range: { readonly from: number; readonly to: number },
): Promise<void> {
  const totalBytes = objects.reduce((sum, { bytes }) => sum + bytes.size, 0);
  let sentBytes = 0;
  let reportedBytes = -REPORT_EVERY_BYTES;
  const sent = (sizeBytes: number) => {
    sentBytes += sizeBytes;
    if (sentBytes - reportedBytes < REPORT_EVERY_BYTES && sentBytes < totalBytes) return;
    reportedBytes = sentBytes;
    const fraction = range.from + (range.to - range.from) * (sentBytes / Math.max(1, totalBytes));
    call.report({ phase: 'storing', fraction, estimated: false });
  };
  for (const { type, id, replace, digest, bytes } of objects) {
    if (call.signal.aborted) throw aborted();
    await call.objects.store({ type, id, replace, digest, source: counted(bytes, sent) });
  }
}

function counted(bytes: NativeBytes, sent: (sizeBytes: number) => void): ObjectSource {
  return {
    size: bytes.size,
    chunk: (offset, size) => {
      const chunk = bytes.chunk(offset, size);
      sent(chunk.byteLength);
      return chunk;
    },
  };
}
