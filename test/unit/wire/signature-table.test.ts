/** The table of docs/security/signatures.md against the tests and the source code: neither knows more than the other. */
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';
import { LABELS } from './labelled-preimages.ts';
import { PREIMAGES } from './signed-preimages.ts';

const ROOT = new URL('../../../', import.meta.url);

t.test('the source code has no label that is not in the table', async (t) => {
  const files = globSync('{attestation,custodian,enclave,parent,wire,common}/**/*.ts', {
    cwd: ROOT,
    exclude: ['**/gen'],
  });
  // The book's label and checksum guard a file in the vault; nobody signs or checks it elsewhere.
  const known = new Set([...Object.keys(LABELS), 'arca-governance-book-1']);
  const found = files.flatMap((file) =>
    [...readFileSync(new URL(file, ROOT), 'utf8').matchAll(/'(arca-[a-z-]+-1)'/g)].map(([, label = '']) => label),
  );
  t.ok(found.length >= known.size);
  t.same(
    found.filter((label) => !known.has(label) && label !== 'arca-party-1'),
    [],
  );
});

t.test('the table of signatures has exactly the rows that are tested here', async (t) => {
  const page = readFileSync(new URL('../../../docs/security/signatures.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, name]) => name);
  t.same(rows.sort(), Object.keys(PREIMAGES).sort());
});
