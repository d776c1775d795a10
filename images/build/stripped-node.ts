/**
 * Node without its symbol tables, by a `strip` of pinned version in the place of the machine's own, which may write other
 * bytes. Kept in the cache by the digests of what went in.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expectDigest, sha256 } from './digest.ts';
import { fetchDeb } from './fetch-deb.ts';
import { LIBRARY_DEBS, NODE_PART, STRIP_DEBS } from './parts.ts';
import { cacheFolder, runTool } from './run-tool.ts';

const LOADER = 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2';
const LIBRARIES = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'];
const STRIP = 'usr/bin/x86_64-linux-gnu-strip';

/**
 * Returns the program.
 *
 * @param root - The checkout, packages installed.
 * @throws {@link KmsError} `PRECONDITION_FAILED` if the installed Node is not the pinned one.
 */
export async function strippedNode(root: string): Promise<Uint8Array> {
  const original = join(root, 'node_modules', NODE_PART.name, 'bin/node');
  expectDigest('the installed Node', await readFile(original), NODE_PART.sha256);
  const recipe = sha256([NODE_PART, ...STRIP_DEBS, ...LIBRARY_DEBS].map(({ sha256: digest }) => digest).join('\n'));
  const folder = join(cacheFolder(), 'image-node');
  const kept = join(folder, recipe.slice(0, 16));
  const [node, digest] = await Promise.all([
    readFile(kept).catch(() => undefined),
    readFile(`${kept}.sha256`, 'utf8').catch(() => undefined),
  ]);
  if (node !== undefined && sha256(node) === digest) return node;
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, '.strip-'));
  try {
    for (const part of [...STRIP_DEBS, ...LIBRARY_DEBS]) await runTool('dpkg-deb', ['-x', await fetchDeb(part), work]);
    const libraries = LIBRARIES.map((path) => join(work, path)).join(':');
    const stripped = join(work, 'node');
    const args = ['--library-path', libraries, join(work, STRIP), '--strip-all', '-o', stripped, original];
    await runTool(join(work, LOADER), args);
    const bytes = await readFile(stripped);
    await rename(stripped, kept);
    await writeFile(`${kept}.sha256`, sha256(bytes));
    return bytes;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
