/**
 * What the bundle of a production image holds, and what it must not: developer root, insecure generations, twins of
 * secret kernels, ways to start programs or threads. Each rule is shown to fire on a bundle that has it.
 */
import { writeFileSync } from 'node:fs';
import { cp, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { bundleEngine, type EngineBundle } from '../../../images/build/bundle.ts';
import { MAINS } from '../../../images/build/engine-files.ts';
import { DEVELOPER_IMPORTS } from '../../helpers/import-graph.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const ROOT = join(import.meta.dirname, '../../..');
const options = { root: ROOT, version: '1.2.3', insecure: false };

/** Our sources that no production image holds. */
const FORBIDDEN_SOURCES: Readonly<Record<string, RegExp>> = {
  'a developer root or its software module': /^attestation\/developer\//,
  'a main module of developer mode': /^enclave\/main-(?!test-image)/,
  'the engine of a test image': /^enclave\/(main-test-image|boot\/start-test-image)\.ts$/,
  'parts of developer mode': /^enclave\/developer\//,
  'imports into developer nodes': DEVELOPER_IMPORTS,
  'a clear vault': /^enclave\/(vault\/clear-|seal\/clear-)/,
  'keys that every party knows': /^enclave\/keys\/common-coin\.ts$/,
  'a twin of a secret kernel': /^enclave\/algebra\//,
  emulators: /^emulators\//,
  'the parent': /^(parent|custodian|images|vsock-proxy)\//,
  tests: /^test\//,
};
/** Texts that stand in no production bundle. */
const FORBIDDEN_TEXTS: Readonly<Record<string, RegExp>> = {
  'other programs': /["'](node:)?child_process["']/,
  'a debugger': /["'](node:)?inspector(\/promises)?["']/,
  'another virtual machine': /["'](node:)?vm["']/,
  'a seed that every party knows': /arca-dealing/,
  'the path of the checkout': new RegExp(ROOT.replaceAll(/[^\w/]/g, '.')),
};

const found = ({ sources, code }: EngineBundle): string[] => {
  const text = Buffer.from(code).toString('utf8');
  return [
    ...Object.entries(FORBIDDEN_SOURCES).filter(([, rule]) => sources.some((path) => rule.test(path))),
    ...Object.entries(FORBIDDEN_TEXTS).filter(([, rule]) => rule.test(text)),
  ].map(([what]) => what);
};

t.test('a production bundle holds the engine and nothing of developer mode', async (t) => {
  const bundle = await bundleEngine({ ...options, entry: MAINS.production });
  t.ok(bundle.sources.includes('enclave/engine.ts'), 'the engine is in it');
  t.same(found(bundle), []);
  t.notMatch(Buffer.from(bundle.code).toString(), /new Worker\(/, 'it starts no threads');
});

t.test('the rules fire on a bundle of developer mode', async (t) => {
  const bundle = await bundleEngine({ ...options, entry: 'enclave/main-dev.ts', insecure: true });
  const rules = ['a developer root or its software module', 'a clear vault', 'keys that every party knows'];
  for (const rule of [...rules, 'a main module of developer mode', 'a seed that every party knows']) {
    t.ok(found(bundle).includes(rule), rule);
  }
});

t.test('a rule fires on a twin, and on a way to start programs', async (t) => {
  const root = tempDir(t);
  await mkdir(join(root, 'enclave'));
  await cp(join(ROOT, 'enclave/algebra'), join(root, 'enclave/algebra'), { recursive: true });
  await cp(join(ROOT, 'common'), join(root, 'common'), { recursive: true });
  writeFileSync(
    join(root, 'enclave/main.ts'),
    "import { exec } from 'node:child_process';\nimport * as twin from './algebra/gf16.ts';\nexec(Object.keys(twin)[0]);\n",
  );
  const bundle = await bundleEngine({ ...options, root, entry: 'enclave/main.ts' });
  t.same(found(bundle), ['a twin of a secret kernel', 'other programs']);
});

t.test('the bundle is the same in another folder, and says its version', async (t) => {
  const root = join(tempDir(t), 'another checkout');
  await mkdir(root);
  for (const folder of ['attestation', 'common', 'enclave', 'native', 'proto', 'storage', 'wire', 'package.json']) {
    const filter = (path: string): boolean => !/\/(build|target)$/.test(path);
    await cp(join(ROOT, folder), join(root, folder), { recursive: true, filter });
  }
  await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  const [here, there] = await Promise.all([
    bundleEngine({ ...options, entry: MAINS.production }),
    bundleEngine({ ...options, root, entry: MAINS.production }),
  ]);
  t.ok(Buffer.from(here.code).equals(there.code), 'byte for byte');
  t.same(here.packages, there.packages);
  t.match(Buffer.from(here.code).toString(), /packageVersion = \(\) => "1\.2\.3"/);
  for (const { name, version, licence } of here.packages) {
    t.match(version, /^\d+\.\d+\.\d+/, `${name} has a version`);
    t.not(licence, 'unknown', `${name} has a licence`);
  }
});

t.test('a main module that is not there is told', async (t) => {
  await t.rejects(bundleEngine({ ...options, entry: 'enclave/no-main.ts' }), { code: 'PRECONDITION_FAILED' });
});
