/**
 * Where trust is decided: who may name a root, who may call a verifier, and what a production process can reach.
 */
import { isBuiltin } from 'node:module';
import t from 'tap';
import { DEVELOPER_IMPORTS, filesWith, reach, sources } from '../../helpers/import-graph.ts';

const PROGRAMS = ['attestation', 'enclave', 'parent'].flatMap(sources);
/** What a browser has too. */
const BROWSER_PACKAGES = ['cbor2', 'asn1js', '@noble/curves', '@noble/hashes'];

t.test('the document verifier reaches nothing that a browser lacks', async (t) => {
  const reached = [...reach(['attestation/document/index.ts'])];
  const outside = reached.filter(([name]) => isBuiltin(name) || !/^(?:attestation|common)\//.test(name));
  const bad = outside.filter(([name]) => !BROWSER_PACKAGES.some((allowed) => name.startsWith(allowed)));
  t.same(
    bad.map(([, way]) => way),
    [],
  );
});

const NOT_PRODUCTION = [/^attestation\/developer\/|clear-key(?:chain|ring)|main-dev/, DEVELOPER_IMPORTS];

t.test('a production process reaches nothing that makes developer documents or keeps keys in clear', async (t) => {
  for (const main of ['enclave/main.ts', 'enclave/engine.ts', 'parent/core/main.ts']) {
    const reached = [...reach([main])];
    const ways = reached.filter(([name]) => NOT_PRODUCTION.some((rule) => rule.test(name)));
    t.same(
      ways.map(([, way]) => way),
      [],
      main,
    );
  }
});

t.test('the production root is named by the production programs and by the tools that check others', async (t) => {
  const users = filesWith(PROGRAMS, /\bAWS_NITRO_ROOT\b/).filter((file) => !file.startsWith('attestation/document/'));
  const programs = users.filter((file) => !file.startsWith('parent/cli/'));
  t.same(programs, ['enclave/main.ts', 'parent/core/main.ts']);
});

t.test('the mesh calls the document verifier in one file', async (t) => {
  const callers = filesWith(sources('attestation/mesh'), /\bverify(?:Live|Archived)Document\(/);
  t.same(callers, ['attestation/mesh/judge.ts']);
});
