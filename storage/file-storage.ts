/**
 * Objects as files: `<root>/<prefix>/<segment>/…/<segment>`.
 *
 * A write goes to a temporary file, is flushed, gets its name by a hard link (which cannot overwrite) or, to
 * replace, by a rename, and then its folder is flushed. Temporary files lie in `<root>/<prefix>/.tmp`; what a
 * crash left there is removed when the storage is opened. Symbolic links below the root are never followed.
 */
import { join } from 'node:path';
import { KmsError, systemErrorCode } from '../common/errors.ts';
import { type RandomSource, systemRandom } from '../common/random.ts';
import { abortable, contentTag, sameContent, toStream } from './content.ts';
import {
  type FileOps,
  listNames,
  makeFolder,
  nodeFileOps,
  type OpenFile,
  READ_FLAGS,
  readFully,
  readRange,
  storageError,
  syncFolder,
  unlessAbsent,
} from './file-ops.ts';
import {
  checkFolder,
  checkPath,
  MAX_WHOLE_BYTES,
  movedOn,
  notFound,
  type ObjectPath,
  type ObjectTag,
  otherContent,
  refuseLarger,
  resolveRange,
  type Storage,
} from './storage.ts';
import { openTempFiles, type TempFiles } from './temp-files.ts';
import { Turns } from './turns.ts';

/** Settings of {@link openFileStorage}. */
export interface FileStorageOptions {
  /** Folder that holds the vault; made if its parent exists. */
  readonly root: string;
  /** Folder below it: `PUB`, `PRIV`, `PUB-p1`. */
  readonly prefix: string;
  /** Permissions of folders; files get the same without the right to execute. `0o700` for a private vault. */
  readonly folderMode: number;
}

/** What the back end takes from outside; tests pass their own. */
export interface FileStorageDeps {
  readonly fs?: FileOps;
  readonly random?: RandomSource;
}

/**
 * Opens a vault for the one process that writes it, making its folders and removing what a crash left behind.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` for a bad prefix; `STATE_INVALID` if something else lies there, or this
 *   user may not write there; `STORAGE_FULL`.
 */
export async function openFileStorage(options: FileStorageOptions, deps: FileStorageDeps = {}): Promise<Storage> {
  const { fs = nodeFileOps, random = systemRandom } = deps;
  const { folderMode } = options;
  const [prefix] = checkPath([options.prefix]);
  try {
    // The root may be a link of the operator's own making; below it none is followed.
    const root = await fs.realpath(options.root).catch(() => undefined);
    if (root === undefined) await makeFolder(fs, options.root, folderMode);
    const vault = join(await fs.realpath(options.root), prefix ?? '');
    await makeFolder(fs, vault, folderMode);
    const { mode } = await fs.lstat(vault);
    if ((mode & 0o777 & ~folderMode) !== 0) await fs.chmod(vault, folderMode);
    const temps = await openTempFiles({ vault, folderMode, fs, random });
    return new FileStorage(vault, folderMode, fs, temps);
  } catch (error) {
    throw storageError(error, { vault: options.prefix });
  }
}

class FileStorage implements Storage {
  /** The check and the rename of a swap are two calls: no other process may come between them. */
  readonly fenced = false;
  readonly #vault: string;
  readonly #folderMode: number;
  readonly #fs: FileOps;
  readonly #temps: TempFiles;
  readonly #turns = new Turns();

  constructor(vault: string, folderMode: number, fs: FileOps, temps: TempFiles) {
    this.#vault = vault;
    this.#folderMode = folderMode;
    this.#fs = fs;
    this.#temps = temps;
  }

  put(...[path, source, options = {}]: Parameters<Storage['put']>): Promise<'stored' | 'already'> {
    return this.#guard(path, async () => {
      const stream = abortable(toStream(source), options.signal);
      const there = options.replace ? undefined : await this.#find(path);
      if (there !== undefined) return await this.#compare(path, stream);
      return await this.#temps.use(stream, (temp) =>
        options.replace ? this.#inTurn(path, () => this.#replace(temp, path)) : this.#create(temp, path),
      );
    });
  }

  async getTagged(path: ObjectPath, maxBytes?: number): ReturnType<Storage['getTagged']> {
    const content = await this.get(path, maxBytes);
    return { content, tag: contentTag(content) };
  }

  swap(...[path, content, expected, { signal } = {}]: Parameters<Storage['swap']>): Promise<ObjectTag> {
    const swapped = async (): Promise<ObjectTag> => {
      const there = (await this.#find(path)) === undefined ? undefined : (await this.getTagged(path)).tag;
      if (there !== expected) throw movedOn(path);
      await this.#temps.use(abortable(toStream(content), signal), async (temp) => {
        if (expected !== undefined) await this.#replace(temp, path);
        else if (!(await this.#link(temp, path))) throw movedOn(path);
      });
      return contentTag(content);
    };
    return this.#guard(path, () => this.#inTurn(path, swapped));
  }

  get(path: ObjectPath, maxBytes = MAX_WHOLE_BYTES): Promise<Uint8Array<ArrayBuffer>> {
    return this.#guard(path, async () => {
      const handle = await this.#openFile(path);
      try {
        const { size } = await handle.stat();
        refuseLarger(path, size, maxBytes);
        const content = new Uint8Array(size);
        await readFully(handle, content, 0);
        return content;
      } finally {
        await handle.close();
      }
    });
  }

  open(...[path, range]: Parameters<Storage['open']>): ReturnType<Storage['open']> {
    return this.#guard(path, async () => {
      const sizeBytes = await this.#find(path);
      if (sizeBytes === undefined) throw notFound(path);
      const { start, end } = resolveRange(sizeBytes, range);
      return { sizeBytes, stream: this.#read(path, sizeBytes, start, end) };
    });
  }

  async has(path: ObjectPath): Promise<boolean> {
    return (await this.size(path)) !== undefined;
  }

  size(path: ObjectPath): Promise<number | undefined> {
    return this.#guard(path, () => this.#find(path));
  }

  list(folder: ObjectPath): Promise<string[]> {
    return this.#guard(folder, () => listNames(this.#fs, this.#folderName(checkFolder(folder))));
  }

  delete(path: ObjectPath): Promise<boolean> {
    return this.#guard(path, async () => {
      return await this.#inTurn(path, async () => {
        if ((await this.#find(path)) === undefined) return false;
        await this.#fs.unlink(this.#fileName(path));
        await this.#syncFolderOf(path);
        return true;
      });
    });
  }

  /** Runs one operation; every failure that leaves it is one of ours and names the kind of object. */
  async #guard<T>(path: ObjectPath, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw storageError(error, { type: path[0] ?? '' });
    }
  }

  #folderName(folder: ObjectPath): string {
    return join(this.#vault, ...folder);
  }

  #fileName(path: ObjectPath): string {
    return this.#folderName(checkPath(path));
  }

  /** Size of the object, or undefined where there is none. Refuses links and folders in its place. */
  async #find(path: ObjectPath): Promise<number | undefined> {
    const name = this.#fileName(path);
    for (let depth = 1; depth < path.length; depth++) {
      const folder = await unlessAbsent(this.#fs.lstat(this.#folderName(path.slice(0, depth))));
      if (!folder) return undefined;
      if (!folder.isDirectory()) throw notPlain(path, 'folder');
    }
    const found = await unlessAbsent(this.#fs.lstat(name));
    if (!found) return undefined;
    if (!found.isFile()) throw notPlain(path, 'file');
    return found.size;
  }

  async #openFile(path: ObjectPath): Promise<OpenFile> {
    if ((await this.#find(path)) === undefined) throw notFound(path);
    return await this.#fs.open(this.#fileName(path), READ_FLAGS);
  }

  async *#read(path: ObjectPath, sizeBytes: number, start: number, end: number): AsyncGenerator<Uint8Array> {
    const handle = await this.#openFile(path);
    try {
      const { size } = await handle.stat();
      if (size !== sizeBytes) throw new KmsError('ABORTED', 'the object was replaced while it was read');
      yield* readRange(handle, start, end);
    } finally {
      await handle.close();
    }
  }

  async #compare(path: ObjectPath, stream: AsyncIterable<Uint8Array>): Promise<'already'> {
    const { sizeBytes } = await this.open(path);
    if (!(await sameContent(this.#read(path, sizeBytes, 0, sizeBytes), stream))) {
      throw otherContent(path);
    }
    // The one who stored it may have died before its name was durable.
    await this.#syncFolderOf(path);
    return 'already';
  }

  /** What takes the place of an object takes turns, so that a swap sees every state that it replaces. */
  #inTurn<T>(path: ObjectPath, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(checkPath(path).join('/'), work);
  }

  async #makeFolders(path: ObjectPath): Promise<void> {
    for (let depth = 1; depth < path.length; depth++) {
      await makeFolder(this.#fs, this.#folderName(path.slice(0, depth)), this.#folderMode);
    }
  }

  #syncFolderOf(path: ObjectPath): Promise<void> {
    return syncFolder(this.#fs, this.#folderName(path.slice(0, -1)));
  }

  async #replace(temp: string, path: ObjectPath): Promise<'stored'> {
    await this.#makeFolders(path);
    await this.#find(path);
    await this.#fs.rename(temp, this.#fileName(path));
    await this.#syncFolderOf(path);
    return 'stored';
  }

  async #create(temp: string, path: ObjectPath): Promise<'stored' | 'already'> {
    if (await this.#link(temp, path)) return 'stored';
    const result = await this.#compare(path, this.#temps.read(temp));
    await this.#fs.unlink(temp);
    return result;
  }

  /** Gives the finished temporary file its name, unless that is taken: a link cannot overwrite. */
  async #link(temp: string, path: ObjectPath): Promise<boolean> {
    await this.#makeFolders(path);
    try {
      await this.#fs.link(temp, this.#fileName(path));
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') return false;
      throw error;
    }
    await this.#fs.unlink(temp);
    await this.#syncFolderOf(path);
    return true;
  }
}

function notPlain(path: ObjectPath, wanted: 'file' | 'folder'): KmsError {
  return new KmsError('STATE_INVALID', `a plain ${wanted} should lie there, not a link or anything else`, {
    type: path[0] ?? '',
  });
}
