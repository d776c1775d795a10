/**
 * Who may import whom, and who may ask for time and randomness: the layers of docs/architecture.md, enforced.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import ts from 'typescript';

const ROOT = join(import.meta.dirname, '../../..');

/** What each layer may import of ours, besides itself. Longest prefix decides. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  common: [],
  proto: [],
  storage: ['common'],
  wire: ['common', 'proto'],
  attestation: ['common'],
  native: ['common', 'wire'],
  emulators: ['common', 'wire', 'attestation'],
  images: ['common', 'attestation', 'vsock-proxy'],
  'vsock-proxy': ['common', 'native/nitro/index.ts', 'attestation/mesh/transport-tcp.ts'],
  custodian: ['common', 'wire', 'attestation'],
  enclave: ['common', 'storage', 'wire', 'proto', 'attestation', 'native'],
  parent: [
    'common',
    'storage',
    'wire',
    'proto',
    'attestation',
    'custodian',
    'images',
    'vsock-proxy',
    'native/engine/public.ts',
    'native/nitro/index.ts',
  ],
};
const LAYERS = Object.keys(MAY_IMPORT);

/** Files that alone name the trust anchor, the keychain and insecure operations. */
const MAINS = [
  'enclave/main.ts',
  'enclave/main-dev.ts',
  'enclave/main-test-image.ts',
  'parent/core/main.ts',
  'parent/core/main-dev.ts',
];

interface Import {
  readonly from: string;
  readonly to: string;
}

const sources = globSync(`{${LAYERS.join(',')}}/**/*.ts`, { cwd: ROOT, exclude: ['**/target', '**/gen'] }).sort();
const imports: readonly Import[] = sources.flatMap((from) => {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(ROOT, from), 'utf8'), true, true);
  return importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => ({ from, to: relative(ROOT, join(ROOT, dirname(from), fileName)) }));
});

t.test('layers import in one direction only', async (t) => {
  t.ok(imports.length > 100, 'the sources were found');
  for (const layer of LAYERS) {
    const allowed = [layer, ...(MAY_IMPORT[layer] ?? [])];
    const bad = imports
      .filter(({ from }) => from.startsWith(`${layer}/`))
      .filter(({ to }) => !allowed.some((prefix) => to === prefix || to.startsWith(`${prefix}/`)));
    t.same(bad, [], `${layer} imports nothing but ${allowed.join(', ')}`);
  }
});

t.test('relative imports name a file with its ending', async (t) => {
  t.same(
    imports.filter(({ to }) => !/\.(ts|js)$/.test(to)),
    [],
  );
});

t.test('nothing below the main modules imports one', async (t) => {
  t.same(
    imports.filter(({ to }) => MAINS.includes(to)),
    [],
  );
});

t.test('only the main module of developer mode names the clear keychain', async (t) => {
  const users = imports.filter(({ to }) => to === 'enclave/vault/clear-keychain.ts').map(({ from }) => from);
  t.same(users, ['enclave/main-dev.ts']);
});

t.test("only the command line uses the custodians' tool", async (t) => {
  const users = imports.filter(({ from, to }) => to.startsWith('custodian/') && !from.startsWith('custodian/'));
  t.ok(users.length > 0);
  t.same(
    users.filter(({ from }) => !from.startsWith('parent/cli/')),
    [],
  );
});

t.test('no file outside of the code imports tests', async (t) => {
  t.same(
    imports.filter(({ to }) => to.startsWith('test/')),
    [],
  );
});

t.test('time and randomness are read in one place each', async (t) => {
  const uses =
    /\b(Date\.now\(|performance\.now\(|new Date\(\)|hrtime|Math\.random|randomBytes\(|randomFill|getRandomValues|randomUUID|randomInt\()/;
  const files = sources.filter((file) => uses.test(readFileSync(join(ROOT, file), 'utf8')));
  t.same(files, ['common/clock.ts', 'common/random.ts']);
});
