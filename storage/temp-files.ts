/**
 * Temporary files of a vault, in `<root>/<prefix>/.tmp`: written and flushed there before they get their names. What a
 * crash left is removed when they are opened.
 */
import { join } from 'node:path';
import { toHex } from '../common/bytes.ts';
import type { RandomSource } from '../common/random.ts';
import { toStream } from './content.ts';
import { CREATE_FLAGS, type FileOps, makeFolder, READ_FLAGS, readRange } from './file-ops.ts';

const TEMP_FOLDER = '.tmp';
const PROBE = 'probe';

/** What temporary files are made with. */
export interface TempFilesOptions {
  /** Folder of the vault. */
  readonly vault: string;
  /** Permissions of folders; files get the same without the right to execute. */
  readonly folderMode: number;
  readonly fs: FileOps;
  readonly random: RandomSource;
}

/** Temporary files of one vault. */
export interface TempFiles {
  /** Writes a temporary file, which `publish` gives its name; whatever happens, none is left. */
  use<T>(stream: AsyncIterable<Uint8Array>, publish: (temp: string) => Promise<T>): Promise<T>;
  /** Reads one that has not got its name yet. */
  read(temp: string): AsyncIterable<Uint8Array>;
}

/**
 * Makes the folder, removes what a crash left in it, and writes a file for a try: a vault that is full, read-only or somebody
 * else's is refused when it is opened, and not when the first key is to be kept.
 */
export async function openTempFiles({ vault, folderMode, fs, random }: TempFilesOptions): Promise<TempFiles> {
  const folder = join(vault, TEMP_FOLDER);
  await makeFolder(fs, folder, folderMode);
  for (const name of await fs.readdir(folder)) await fs.unlink(join(folder, name));

  const write = async (temp: string, stream: AsyncIterable<Uint8Array>): Promise<void> => {
    const handle = await fs.open(temp, CREATE_FLAGS, folderMode & 0o666);
    try {
      for await (const chunk of stream) {
        for (let at = 0; at < chunk.byteLength; ) {
          at += (await handle.write(chunk, at, chunk.byteLength - at)).bytesWritten;
        }
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
  };
  const probe = join(folder, PROBE);
  try {
    await write(probe, toStream(Uint8Array.of(0)));
  } finally {
    await fs.unlink(probe).catch(() => undefined); // it goes at the next start
  }
  return {
    use: async (stream, publish) => {
      const temp = join(folder, toHex(random(16)));
      try {
        await write(temp, stream);
        return await publish(temp);
      } catch (error) {
        // The first failure is the one to report; what cannot be removed now goes at the next start.
        await fs.unlink(temp).catch(() => undefined);
        throw error;
      }
    },
    read: async function* (temp) {
      const handle = await fs.open(temp, READ_FLAGS);
      try {
        yield* readRange(handle, 0, (await handle.stat()).size);
      } finally {
        await handle.close();
      }
    },
  };
}
