/** RAM disks of tests, made by other code than that which reads them. */

/** One file of a RAM disk. */
export interface RamdiskFile {
  readonly path: string;
  readonly mode?: number;
  readonly content: string;
}

/** Returns a cpio archive of form newc, padded to 512 bytes. */
export function makeRamdisk(files: readonly RamdiskFile[]): Uint8Array {
  const all = [...files.map((file, i) => entry(file, i + 1)), entry({ path: 'TRAILER!!!', mode: 0, content: '' }, 0)];
  return new Uint8Array(pad(Buffer.concat(all), 512));
}

function entry({ path, mode = 0o100644, content }: RamdiskFile, inode: number): Buffer {
  const name = Buffer.from(`${path}\0`);
  const data = Buffer.from(content);
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([pad(Buffer.concat([head, name]), 4), pad(data, 4)]);
}

function pad(bytes: Buffer, to: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((to - (bytes.length % to)) % to)]);
}
