/**
 * What whole processes can reach, through any number of imports: the parent reaches no code that holds a secret, and
 * the wire formats reach no network, file or clock. Direct imports are judged in test/unit/house/imports.test.ts.
 */
import { existsSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import t from 'tap';
import { filesWith, ROOT, reach, sources } from '../../helpers/import-graph.ts';

/** Files that hold or hand out whole keys. */
const SECRET = ['native/engine/index.ts', 'native/engine/fhe.ts', 'native/engine/node-key.ts'];
/** Packages and built-in modules that the wire formats may use: computation, no I/O. */
const PURE = ['node:crypto', '@bufbuild/protobuf', '@noble/curves', '@noble/hashes', 'asn1js'];

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
  const layers = ['common', 'storage', 'wire', 'attestation', 'native', 'enclave', 'parent'];
  const users = filesWith(layers.flatMap(sources), crashing);
  t.same(users, []);
});
