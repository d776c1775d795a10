/** Files of an image, each with where it comes from, and the folders that they need. */
import type { CpioEntry } from '../cpio/read-cpio.ts';
import { FOLDER, REGULAR_FILE } from '../cpio/write-cpio.ts';

/** Where a file comes from, as manifest.json tells it. */
export interface FileOrigin {
  /** `deb` and `npm`: somebody else's package. `source`: made from this repository. */
  readonly kind: 'deb' | 'npm' | 'source';
  /** Name of the package, or the path in this repository. */
  readonly name: string;
  readonly version: string;
  /** Of the package as it was fetched; absent for sources. */
  readonly sha256?: string | undefined;
}

/** A file of an image. */
export interface ImageFile {
  /** Without the `/` at the beginning. */
  readonly path: string;
  readonly executable: boolean;
  readonly data: Uint8Array;
  readonly origin: FileOrigin;
}

const FOLDER_MODE = FOLDER | 0o755;

/** Returns the entries of a RAM disk: the files, every folder above them, and empty folders besides. */
export function diskEntries(files: readonly ImageFile[], emptyFolders: readonly string[] = []): readonly CpioEntry[] {
  const folders = new Set(emptyFolders);
  for (const { path } of files) {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) folders.add(path.slice(0, at));
  }
  return [
    ...[...folders].map((path) => ({ path, mode: FOLDER_MODE, data: new Uint8Array() })),
    ...files.map(({ path, executable, data }) => ({ path, mode: REGULAR_FILE | (executable ? 0o755 : 0o644), data })),
  ];
}
