/**
 * Follows a log file of a state folder as it grows, over the moments at which it is begun anew (`node-log.ts`).
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../framework/failure.ts';

/** Where the following begins. */
export interface LogPlace {
  /** Inode of the file: a log that is begun anew has another. */
  readonly ino: number;
  /** Offset of the first byte that was not read, behind the end of a line. */
  readonly offset: number;
}

const LOOK_EVERY_MS = 250;
const CHUNK_BYTES = 64 * 1024;

/** Hands on the lines that are written from a place on, without those that are empty, until the signal. */
export async function followLog(
  path: string,
  place: LogPlace,
  onLines: (lines: readonly string[]) => void,
  signal?: AbortSignal,
): Promise<void> {
  let { offset } = place;
  let file: FileHandle | undefined = await openIfThere(path);
  if (file !== undefined && (await file.stat()).ino !== place.ino) offset = 0;
  let cut = lineCutter(onLines);
  const buffer = Buffer.alloc(CHUNK_BYTES);
  try {
    while (signal?.aborted !== true) {
      // Asked before the end is read: what is written into a file before it is put aside is still read from it.
      const now = await inodeOf(path);
      for (let read = CHUNK_BYTES; file !== undefined && read > 0; offset += read) {
        read = (await file.read(buffer, 0, CHUNK_BYTES, offset)).bytesRead;
        cut(buffer.subarray(0, read));
      }
      if (now !== undefined && now !== (await file?.stat())?.ino) {
        await file?.close();
        file = await openIfThere(path);
        offset = 0;
        cut = lineCutter(onLines);
        continue;
      }
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    await file?.close();
  }
}

function lineCutter(onLines: (lines: readonly string[]) => void): (bytes: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  let begun = '';
  return (bytes) => {
    const lines = (begun + decoder.write(bytes)).split('\n');
    begun = lines.pop() ?? '';
    const whole = lines.filter((line) => line !== '');
    if (whole.length > 0) onLines(whole);
  };
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  return await open(path, 'r').catch(ignoreMissing);
}

async function inodeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(ignoreMissing))?.ino;
}

function ignoreMissing(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT')) throw error;
  return undefined;
}
