/**
 * What whole processes can reach, through any number of imports: the parent reaches no code that holds a secret, and
 * the wire formats reach no network, file or clock. Direct imports are judged in test/unit/house/imports.test.ts.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import ts from 'typescript';

const ROOT = join(import.meta.dirname, '../../..');

/** Files that hold or hand out whole keys. */
const SECRET = ['native/engine/index.ts', 'native/engine/fhe.ts', 'native/engine/node-key.ts'];
/** Packages and built-in modules that the wire formats may use: computation, no I/O. */
const PURE = ['node:crypto', '@bufbuild/protobuf', '@noble/curves', '@noble/hashes', 'asn1js'];

const importsOf = new Map<string, readonly string[]>();

function specifiers(file: string): readonly string[] {
  const known = importsOf.get(file);
  if (known !== undefined) return known;
  const { importedFiles } = ts.preProcessFile(readFileSync(join(ROOT, file), 'utf8'), true, true);
  const found = importedFiles.map(({ fileName }) => fileName);
  importsOf.set(file, found);
  return found;
}

/** Every file of ours and every package that is reached from the files given, with one way there. */
function reach(from: readonly string[]): Map<string, string> {
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

const sources = (folder: string): string[] => globSync(`${folder}/**/*.ts`, { cwd: ROOT, exclude: ['**/gen'] }).sort();

t.test('no process of the parent reaches code that holds a secret', async (t) => {
  const files = sources('parent');
  t.ok(files.length > 10, 'the sources were found');
  const reached = reach(files);
  const ways = [...reached].filter(([file]) => SECRET.includes(file) || file.startsWith('enclave/'));
  t.same(
    ways.map(([, way]) => way),
    [],
  );
  t.ok(reached.has('native/engine/public.ts'), 'the public face is reached');
});

t.test('the secret files named here exist', async (t) => {
  for (const file of SECRET) t.ok(existsSync(join(ROOT, file)), file);
});

t.test('the wire formats use computation only', async (t) => {
  const reached = [...reach(sources('wire')).entries()];
  const outside = reached.filter(([file]) => isBuiltin(file) || !/^(?:wire|common|proto)\//.test(file));
  const bad = outside.filter(([name]) => !PURE.some((allowed) => name === allowed || name.startsWith(`${allowed}/`)));
  t.same(
    bad.map(([, way]) => way),
    [],
  );
});

t.test('nobody asks Node for the form of a certificate that crashes it', async (t) => {
  // With secp256k1 certificates Node 24 ends with SIGSEGV there.
  const crashing = /\.(?:toLegacyObject|getPeerCertificate|getCertificate)\s*\(/;
  const layers = ['common', 'storage', 'wire', 'native', 'enclave', 'parent'];
  const users = layers.flatMap(sources).filter((file) => crashing.test(readFileSync(join(ROOT, file), 'utf8')));
  t.same(users, []);
});
