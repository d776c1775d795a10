/**
 * LICENCES.txt of an image: what everybody's code in it asks to be handed on. One text stands once, below the names of
 * all packages that have it.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundledPackage } from './bundle.ts';
import { type Crate, engineCrates } from './crates.ts';
import type { Libraries } from './libraries.ts';
import { KERNEL_PART, NODE_PART } from './parts.ts';

const LICENCE_FILE = /^(licen[cs]e|copying|notice|unlicense)/i;
const RULE = '='.repeat(80);

interface Licensed {
  readonly name: string;
  readonly texts: readonly string[];
}

/** Returns the file. */
export async function licenceFile(
  root: string,
  packages: readonly BundledPackage[],
  { copyrights }: Pick<Libraries, 'copyrights'>,
): Promise<Uint8Array> {
  const crates = await engineCrates(root);
  const folderOf = ({ folder }: BundledPackage): string => join(root, folder);
  const all: readonly Licensed[] = [
    { name: 'arca', texts: await textsIn(root) },
    {
      name: `linux ${KERNEL_PART.release}`,
      texts: [
        `GPL-2.0-only WITH Linux-syscall-note. The source is Debian's package ${KERNEL_PART.source.name} ` +
          `${KERNEL_PART.source.version}, unchanged, configured as images/kernel/enclave.config says.\n`,
      ],
    },
    { name: `node ${NODE_PART.version}`, texts: await textsIn(join(root, 'node_modules', NODE_PART.name)) },
    ...copyrights.map(({ part, text }) => ({ name: `${part.name} ${part.version}`, texts: [text] })),
    ...(await Promise.all(packages.map((one) => licensed(one, 'npm', folderOf(one))))),
    ...(await Promise.all(crates.map((one) => licensed(one, 'crate', one.folder)))),
  ];
  return new TextEncoder().encode(format(all));
}

async function licensed(
  { name, version, licence }: BundledPackage | Crate,
  kind: 'npm' | 'crate',
  folder: string,
): Promise<Licensed> {
  const texts = await textsIn(folder);
  return { name: `${name} ${version} (${kind}), ${licence}`, texts };
}

/** Texts in a package's own folder; none if it brings none, and its SPDX name has to do. */
async function textsIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile() && LICENCE_FILE.test(entry.name)).map(({ name }) => name);
  return Promise.all(names.sort().map((name) => readFile(join(folder, name), 'utf8')));
}

function format(all: readonly Licensed[]): string {
  const owners = new Map<string, string[]>();
  for (const { name, texts } of all) {
    for (const text of texts.length === 0 ? ['(The package brings no text of its own.)\n'] : texts) {
      const normal = `${text.replaceAll('\r\n', '\n').trimEnd()}\n`;
      owners.set(normal, [...(owners.get(normal) ?? []), name]);
    }
  }
  return [...owners].map(([text, names]) => `${RULE}\n${names.join('\n')}\n${RULE}\n\n${text}\n`).join('');
}
