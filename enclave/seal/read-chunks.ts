/** Reads the chunks of a sealed object in order, up to its end and the signature there. Nothing here is secret. */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { FRAME_BYTES, isPossible, MAX_CHUNKS, readFrame } from './chunk-frame.ts';
import type { ExactReader } from './exact-reader.ts';
import { SIGNATURE_BYTES, tailDigest, verifyObjectSignature } from './object-signatures.ts';
import type { CheckedHead } from './read-head.ts';
import { sealFault } from './seal-faults.ts';
import { CHUNK_BYTES, CHUNK_OVERHEAD } from './secret-stream.ts';

/** One chunk; its memory is used again for the next. */
export interface SealedChunk {
  readonly sealed: Uint8Array;
  /** What it is bound to: digest of the head, frame. */
  readonly bound: Uint8Array;
  readonly final: boolean;
  /** What is wrong with all that was read, known at the last one. */
  readonly fault: 'tail-forged' | 'other-writing' | undefined;
}

/**
 * Walks the chunks. The last one comes only after everything behind it was read and found to be its end.
 *
 * @param wanted - Digest of the tail that it has to have, if any will not do.
 * @throws KmsError `STATE_INVALID` with fact `fault`: `cut`, `extended`, `out-of-order`, `chunk-malformed`.
 */
export async function* readChunks(
  reader: ExactReader,
  { head, digest }: CheckedHead,
  wanted: Uint8Array | undefined,
): AsyncGenerator<SealedChunk, void> {
  const { name } = head;
  const bound = new Uint8Array(digest.length + FRAME_BYTES);
  bound.set(digest);
  const frame = bound.subarray(digest.length);
  const buffer = new Uint8Array(CHUNK_BYTES + CHUNK_OVERHEAD);
  const hash = createHash('sha256');
  for (let index = 0; index < MAX_CHUNKS; index++) {
    if ((await reader.fill(frame)) < FRAME_BYTES) throw sealFault(name, ['cut'], { chunk: index });
    const read = readFrame(frame);
    if (read.index !== index) throw sealFault(name, ['out-of-order'], { chunk: index });
    if (!isPossible(read)) throw sealFault(name, ['chunk-malformed'], { chunk: index });
    const { final } = read;
    const sealed = buffer.subarray(0, read.sizeBytes + CHUNK_OVERHEAD);
    if ((await reader.fill(sealed)) < sealed.length) throw sealFault(name, ['cut'], { chunk: index });
    hash.update(frame).update(sealed);
    if (!final) {
      yield { sealed, bound, final, fault: undefined };
      continue;
    }
    const signature = new Uint8Array(SIGNATURE_BYTES);
    if ((await reader.fill(signature)) < SIGNATURE_BYTES) throw sealFault(name, ['cut'], { chunk: index });
    if (!(await reader.atEnd())) throw sealFault(name, ['extended']);
    const tail = tailDigest({ headDigest: digest, chunks: index + 1, bodyDigest: new Uint8Array(hash.digest()) });
    const isGenuine = verifyObjectSignature(head.signer, tail, signature);
    const isWanted = wanted === undefined || equalBytes(tail, wanted);
    yield { sealed, bound, final, fault: isGenuine ? (isWanted ? undefined : 'other-writing') : 'tail-forged' };
    return;
  }
  throw sealFault(name, ['chunk-malformed'], { chunk: MAX_CHUNKS });
}
