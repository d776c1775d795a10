/**
 * The graph of imports, read from the sources: what a set of files reaches, and by which way.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';

/** What imports whole keys, or into vaults in clear: for developer nodes alone. */
export const DEVELOPER_IMPORTS =
  /^enclave\/import\/(?:attested-import|import-job|import-key|import-process|open-targets)\./;

/** The checkout. */
export const ROOT = join(import.meta.dirname, '../..');

const importsOf = new Map<string, readonly string[]>();

function specifiers(file: string): readonly string[] {
  const known = importsOf.get(file);
  if (known !== undefined) return known;
  const { importedFiles } = ts.preProcessFile(readFileSync(join(ROOT, file), 'utf8'), true, true);
  const found = importedFiles.map(({ fileName }) => fileName);
  importsOf.set(file, found);
  return found;
}

/** Returns every file of ours and every package that is reached from the files given, with one way there. Types count too. */
export function reach(from: readonly string[]): Map<string, string> {
  const via = new Map(from.map((file) => [file, file]));
  const queue = [...from];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    for (const specifier of specifiers(file)) {
      const local = specifier.startsWith('.');
      const target = local ? relative(ROOT, join(ROOT, dirname(file), specifier)) : specifier;
      if (via.has(target)) continue;
      via.set(target, `${via.get(file)} → ${target}`);
      if (local && existsSync(join(ROOT, target))) queue.push(target);
    }
  }
  return via;
}

/** Returns the sources of a folder, generated ones left out. */
export const sources = (folder: string): string[] =>
  globSync(`${folder}/**/*.ts`, { cwd: ROOT, exclude: ['**/gen'] }).sort();

/** Returns those of the files whose text matches. */
export const filesWith = (files: readonly string[], pattern: RegExp): string[] =>
  files.filter((file) => pattern.test(readFileSync(join(ROOT, file), 'utf8')));
