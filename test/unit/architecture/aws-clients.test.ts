/**
 * A node whose vaults are files loads no client of AWS: it costs memory and time at each start.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { ROOT } from '../../helpers/import-graph.ts';

/** What a file loads as soon as it is loaded: imports of types and imports on demand are none. */
function loadedBy(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(ROOT, file), 'utf8'), ts.ScriptTarget.Latest);
  return source.statements.flatMap((statement) => {
    const isLoading =
      (ts.isImportDeclaration(statement) && !statement.importClause?.isTypeOnly) ||
      (ts.isExportDeclaration(statement) && !statement.isTypeOnly);
    const from = isLoading ? statement.moduleSpecifier : undefined;
    return from && ts.isStringLiteral(from) ? [from.text] : [];
  });
}

/** Returns the way from a file to a package that is not to be there. */
function wayTo(start: string, forbidden: RegExp): string | undefined {
  const via = new Map([[start, start]]);
  const queue = [start];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    for (const name of loadedBy(file)) {
      const target = name.startsWith('.') ? relative(ROOT, join(ROOT, dirname(file), name)) : name;
      if (forbidden.test(target)) return `${via.get(file)} → ${target}`;
      if (via.has(target) || !name.startsWith('.') || !existsSync(join(ROOT, target))) continue;
      via.set(target, `${via.get(file)} → ${target}`);
      if (target.endsWith('.ts')) queue.push(target);
    }
  }
  return undefined;
}

t.test('programs load the clients of AWS only where they are configured', async (t) => {
  const programs = ['enclave/main-dev.ts', 'parent/core/main-dev.ts', 'parent/core/main.ts', 'parent/cli/main.ts'];
  // Commands are loaded on demand themselves.
  const commands = ['dev', 'dev-quorum', 'start', 'doctor', 'doctor-quorum'].map(
    (name) => `parent/cli/actions/${name}.ts`,
  );
  for (const main of [...programs, ...commands]) {
    t.ok(existsSync(join(ROOT, main)), main);
    t.equal(wayTo(main, /^@aws-sdk\//), undefined, main);
  }
  t.match(wayTo('enclave/main.ts', /^@aws-sdk\//), /^enclave\/main\.ts → .*@aws-sdk\//, 'a sealed vault has them');
});
