/**
 * Reads files that a person names, never more of them than they may have: whatever stands behind a path (a disk
 * image, a device, a pipe without an end), no more than the limit comes into memory.
 */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';

/**
 * Returns what is in a file, or undefined if that is more than `maxBytes`.
 *
 * @param path - `-` is standard input.
 * @throws what opening and reading throw: `ENOENT`, `EISDIR`, `EACCES` and the like.
 */
export async function readLimited(path: string, maxBytes: number): Promise<Buffer | undefined> {
  const source: Readable = path === '-' ? process.stdin : createReadStream(path, { end: maxBytes });
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of source) {
    chunks.push(Buffer.from(chunk));
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) return undefined;
  }
  return Buffer.concat(chunks);
}
