/**
 * CRC-32 of whole objects, as S3 keeps it beside them: against damage on the way, not against people.
 */
import { crc32 } from 'node:zlib';

/** A CRC-32 in base64, as headers have it. */
export type Crc32 = string;

/** A CRC-32 over what it is fed. */
export class RunningCrc32 {
  #value = 0;

  /** Takes the next bytes. */
  update(chunk: Uint8Array): void {
    this.#value = crc32(chunk, this.#value);
  }

  /** The value over all bytes so far. */
  base64(): Crc32 {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.#value);
    return bytes.toString('base64');
  }
}

/** Returns the CRC-32 of bytes. */
export function crc32Base64(bytes: Uint8Array): Crc32 {
  const crc = new RunningCrc32();
  crc.update(bytes);
  return crc.base64();
}
