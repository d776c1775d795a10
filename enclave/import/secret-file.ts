/** Reads a plain file with a secret in it into memory of its own, which the caller wipes. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { KmsError, systemErrorCode } from '../../common/errors.ts';

/** The kernel reads no more than 2 GiB at once. */
const READ_BYTES = 1024 * 1024 * 1024;

/**
 * Returns a file's content in an ArrayBuffer of its own; of nothing larger than `maxBytes`, and of nothing but a plain file.
 *
 * @throws KmsError `KEY_INVALID` for anything else, `NOT_FOUND` for what cannot be read.
 */
export async function readSecretFile(path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await file.stat();
      if (!found.isFile() || found.size > maxBytes) {
        throw new KmsError('KEY_INVALID', `${path} is no file of at most ${maxBytes} bytes`);
      }
      const content = new Uint8Array(found.size);
      let read = 0;
      while (read < content.byteLength) {
        const { bytesRead } = await file.read(content, read, Math.min(READ_BYTES, content.byteLength - read), read);
        if (bytesRead === 0) throw new KmsError('KEY_INVALID', `${path} changed while it was read`);
        read += bytesRead;
      }
      return content;
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof KmsError || code === undefined) throw error;
    throw new KmsError('NOT_FOUND', `${path} cannot be read: ${code}`);
  }
}
