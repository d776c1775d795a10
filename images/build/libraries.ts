/**
 * The shared libraries that programs of an image ask for, and those that these ask for, out of pinned packages. Nothing is
 * taken from the machine, and nothing that nobody asks for.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KmsError } from '../../common/errors.ts';
import { readElfNeeds } from './elf.ts';
import { fetchDeb } from './fetch-deb.ts';
import type { ImageFile } from './image-files.ts';
import { type DebPart, LIBRARY_DEBS } from './parts.ts';
import { runTool } from './run-tool.ts';

/** Where the loader looks, in the packages and in the image. */
const FOLDER = 'lib/x86_64-linux-gnu';
const PLACES = [FOLDER, `usr/${FOLDER}`];
/** The loader itself is named by its whole path in every program. */
const LOADER = 'ld-linux-x86-64.so.2';
const LOADER_PATH = `lib64/${LOADER}`;

/** Libraries, and what their packages say about their licences. */
export interface Libraries {
  readonly files: readonly ImageFile[];
  readonly copyrights: readonly { readonly part: DebPart; readonly text: string }[];
}

/**
 * See the file comment.
 *
 * @param programs - Programs and native modules of the image.
 * @throws {@link KmsError} `PRECONDITION_FAILED` for a library that no pinned package has.
 */
export async function librariesFor(programs: readonly Uint8Array[]): Promise<Libraries> {
  const work = await mkdtemp(join(tmpdir(), 'arca-libraries-'));
  try {
    const folders = await Promise.all(
      LIBRARY_DEBS.map(async (part) => {
        const folder = join(work, part.name);
        await runTool('dpkg-deb', ['-x', await fetchDeb(part), folder]);
        return { part, folder };
      }),
    );
    const found = new Map<string, ImageFile>();
    const wanted = programs.flatMap((program) => readElfNeeds(program).libraries);
    for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
      if (found.has(name)) continue;
      const file = await findLibrary(folders, name);
      found.set(name, file);
      wanted.push(...readElfNeeds(file.data).libraries);
    }
    const copyrights = await Promise.all(
      folders.map(async ({ part, folder }) => ({ part, text: await copyrightOf(folder, part.name) })),
    );
    return { files: [...found.values()], copyrights };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function findLibrary(
  folders: readonly { readonly part: DebPart; readonly folder: string }[],
  name: string,
): Promise<ImageFile> {
  for (const { part, folder } of folders) {
    for (const place of PLACES) {
      const data = await readFile(join(folder, place, name)).catch(() => undefined);
      if (data === undefined) continue;
      const { version, sha256 } = part;
      const path = name === LOADER ? LOADER_PATH : `${FOLDER}/${name}`;
      return { path, executable: name === LOADER, data, origin: { kind: 'deb', name: part.name, version, sha256 } };
    }
  }
  throw new KmsError('PRECONDITION_FAILED', `no pinned package has the library ${name}`, { name });
}

/** libgcc-s1 and libstdc++6 keep theirs in the package of their compiler, which is not fetched: their link says so. */
async function copyrightOf(folder: string, name: string): Promise<string> {
  const text = await readFile(join(folder, 'usr/share/doc', name, 'copyright'), 'utf8').catch(() => undefined);
  return text ?? 'GPL-3.0-or-later WITH GCC-exception-3.1: https://www.gnu.org/licenses/gcc-exception-3.1.html\n';
}
