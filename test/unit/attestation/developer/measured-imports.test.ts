/** Nothing that engine or core imports, of ours or from npm, is left out of their measurement. */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { measurePrograms } from '../../../../attestation/developer/measure-program.ts';

const ROOT = realpathSync(join(import.meta.dirname, '../../../..'));
const ENTRIES = ['enclave/main-dev.ts', 'enclave/main.ts', 'parent/core/main-dev.ts', 'parent/core/main.ts'];

/** Returns every module of ours and every package that a module reaches, types included. */
function reach(entry: string): { readonly modules: ReadonlySet<string>; readonly packages: ReadonlySet<string> } {
  const modules = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string): void => {
    if (modules.has(path)) return;
    modules.add(path);
    for (const { fileName } of ts.preProcessFile(readFileSync(join(ROOT, path), 'utf8'), true, true).importedFiles) {
      if (isBuiltin(fileName)) continue;
      if (fileName.startsWith('.')) visit(relative(ROOT, join(ROOT, dirname(path), fileName)));
      else packages.add(fileName.split('/', fileName.startsWith('@') ? 2 : 1).join('/'));
    }
  };
  visit(entry);
  return { modules, packages };
}

t.test('every module and package within reach is measured', async (t) => {
  const measured = await measurePrograms({ entries: ENTRIES, nodePath: process.execPath, packageRoot: ROOT });
  for (const [at, entry] of ENTRIES.entries()) {
    const labels = (measured[at]?.lines ?? []).map((line) => line.slice(98));
    const { modules, packages } = reach(entry);
    t.ok(modules.size > 20 && packages.size > 2, `${entry}: ${modules.size} modules, ${packages.size} packages`);
    const missing = [...modules].filter((path) => !labels.includes(path));
    t.strictSame(missing, [], `${entry}: modules`);
    const prefixes = [...packages].map((name) => `node_modules/${name}/`);
    t.strictSame(
      prefixes.filter((prefix) => !labels.some((label) => label.startsWith(prefix))),
      [],
      `${entry}: packages`,
    );
    for (const native of ['native/engine/build/engine.node', 'native/nitro/build/nitro.node']) {
      if (existsSync(join(ROOT, native))) t.ok(labels.includes(native), `${entry}: ${native}`);
    }
  }
});
