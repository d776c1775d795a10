/**
 * Writes a RAM disk: one uncompressed cpio archive of form newc. The same entries give the same bytes: order, times,
 * owners and inode numbers are this file's choice and not the machine's. Spec: docs/formats/enclave-image.md.
 */
import { KmsError } from '../../common/errors.ts';
import type { CpioEntry } from './read-cpio.ts';

/** Type bits of a regular file in `st_mode`. */
export const REGULAR_FILE = 0o100000;
/** Type bits of a folder. */
export const FOLDER = 0o040000;

const MAGIC = '070701';
const HEADER_BYTES = 110;
const TRAILER = 'TRAILER!!!';
/** The loader puts RAM disks one behind the other, and an archive has to begin at a multiple of 4. */
const PADDED_TO = 512;
/** Relative, no empty, `.` or `..` step: what would be unpacked elsewhere than it says. */
const PATH = /^(?!\.{1,2}(\/|$))[^/\0]+(\/(?!\.{1,2}(\/|$))[^/\0]+)*$/;

/**
 * Returns the archive of entries, sorted by the bytes of their paths, so that a folder stands before what is in it.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for a path that is no plain relative one, is given twice, or whose folder is
 *   not among the entries: the kernel would not make it.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const sorted = [...entries].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  checkPaths(sorted);
  const parts: Uint8Array[] = [];
  for (const [index, entry] of sorted.entries()) parts.push(...entryParts(entry, index + 1));
  parts.push(...entryParts({ path: TRAILER, mode: 0, data: new Uint8Array() }, 0));
  const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([...parts, zerosTo(sizeBytes, PADDED_TO)]);
}

function checkPaths(sorted: readonly CpioEntry[]): void {
  const folders = new Set<string>();
  const seen = new Set<string>();
  const faults: string[] = [];
  for (const { path, mode } of sorted) {
    const above = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    if (!PATH.test(path) || path === TRAILER) faults.push(`${path} is no path inside of a RAM disk`);
    if (seen.has(path)) faults.push(`${path} is there twice`);
    if (above !== '' && !folders.has(above)) faults.push(`${path} lies in a folder that is not there`);
    seen.add(path);
    if ((mode & 0o170000) === FOLDER) folders.add(path);
  }
  if (faults.length > 0) throw new KmsError('REQUEST_INVALID', `no RAM disk: ${faults.join('; ')}`);
}

function entryParts({ path, mode, data }: CpioEntry, inode: number): readonly Uint8Array[] {
  const name = new TextEncoder().encode(`${path}\0`);
  const links = (mode & 0o170000) === FOLDER ? 2 : 1;
  // inode, mode, uid, gid, links, time, size, device (2), device of the file (2), size of the name, checksum.
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, '0').toUpperCase()).join('');
  return [
    new TextEncoder().encode(header),
    name,
    zerosTo(HEADER_BYTES + name.length, 4),
    data,
    zerosTo(data.length, 4),
  ];
}

const zerosTo = (sizeBytes: number, multiple: number): Uint8Array =>
  new Uint8Array((multiple - (sizeBytes % multiple)) % multiple);
