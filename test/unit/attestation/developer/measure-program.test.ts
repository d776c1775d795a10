import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { measureProgram, measurePrograms } from '../../../../attestation/developer/measure-program.ts';
import { extendedPcr, zeroPcr } from '../../../../attestation/developer/registers.ts';
import { toHex } from '../../../../common/bytes.ts';
import { systemClock } from '../../../../common/clock.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const ENGINE = 'enclave/main-dev.ts';
const CORE = 'parent/core/main-dev.ts';
/** Of the system, as a person has it. */
const TOOL = 'sha384sum';
/** As if the files were old when they were measured: a second look believes their time stamps. */
const LATER = { nowMs: () => systemClock.nowMs() + 60_000, monotonicMs: () => systemClock.monotonicMs() };

const manifest = (name: string, dependencies: Record<string, string> = {}, more = {}) =>
  JSON.stringify({ name, version: '1.0.0', dependencies, ...more });

/** A small package with all the parts that ours has. */
const FILES: Readonly<Record<string, string>> = {
  'bin/node': '#!/bin/sh\n',
  'package.json': manifest('program', { direct: '1' }, { devDependencies: { tool: '1' } }),
  'package-lock.json': '{}',
  'enclave/main-dev.ts': 'import "./vault/open.ts";\n',
  'enclave/vault/open.ts': 'export {};\n',
  'parent/core/main-dev.ts': 'export {};\n',
  'parent/connector/main.ts': 'export {};\n',
  'common/errors.ts': 'export {};\n',
  'attestation/cbor.ts': 'export {};\n',
  'native/engine/build/engine.node': 'machine code\n',
  'native/engine/target/debug.node': 'not loaded\n',
  'node_modules/direct/package.json': manifest('direct', { deep: '1' }, { optionalDependencies: { absent: '1' } }),
  'node_modules/direct/index.js': 'require("deep");\n',
  'node_modules/direct/index.d.ts': 'export {};\n',
  'node_modules/direct/node_modules/deep/package.json': manifest('deep'),
  'node_modules/direct/node_modules/deep/index.cjs': '0;\n',
  'node_modules/deep/package.json': manifest('deep'),
  'node_modules/deep/index.cjs': 'another version, that nobody reaches;\n',
  'node_modules/tool/package.json': manifest('tool'),
  'node_modules/tool/index.js': 'a tool of developers;\n',
};

const byValue = (a: number, b: number) => a - b;

function put(root: string, path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function makePackage(t: Test): string {
  const root = tempDir(t);
  for (const [path, text] of Object.entries(FILES)) put(root, path, text);
  return root;
}

const place = (packageRoot: string) => ({ packageRoot, nodePath: join(packageRoot, 'bin/node') });
const measure = (root: string, entry = ENGINE) => measureProgram({ entry, ...place(root), clock: LATER });
const hex = (pcrs: ReadonlyMap<number, Uint8Array>) =>
  new Map([...pcrs].map(([index, value]) => [index, toHex(value)]));

t.test('an engine fills registers 0, 1, 2, the parent’s programs 4, 7, 11, 12', async (t) => {
  const root = makePackage(t);
  const [engine, core, connector] = await measurePrograms({
    entries: [ENGINE, CORE, 'parent/connector/main.ts'],
    ...place(root),
  });
  t.match([engine?.role, core?.role, connector?.role], ['engine', 'core', 'connector']);
  t.strictSame([...(engine?.pcrs.keys() ?? [])], [0, 1, 2]);
  t.strictSame([...(core?.pcrs.keys() ?? [])], [4, 7, 11, 12]);
  for (const measured of [engine, core, connector]) {
    for (const value of measured?.pcrs.values() ?? []) t.notSame(value, zeroPcr(), 'no register is zero');
  }
  t.strictSame(core?.pcrs.get(4), engine?.pcrs.get(1), 'both are run by the same Node');
  t.strictSame(core?.pcrs.get(11), connector?.pcrs.get(11), 'both are the same sources');
  t.notSame(core?.pcrs.get(12), connector?.pcrs.get(12), 'and yet two programs');
});

t.test('it covers Node, every source and native part, manifest, lockfile and the packages within reach', async (t) => {
  const root = makePackage(t);
  const { lines, files } = await measure(root);
  t.strictSame(
    lines.map((line) => line.slice(98)),
    [
      'node',
      'attestation/cbor.ts',
      'common/errors.ts',
      'enclave/main-dev.ts',
      'enclave/vault/open.ts',
      'native/engine/build/engine.node',
      'node_modules/direct/index.js',
      'node_modules/direct/node_modules/deep/index.cjs',
      'node_modules/direct/node_modules/deep/package.json',
      'node_modules/direct/package.json',
      'package-lock.json',
      'package.json',
    ],
  );
  t.equal(files, 12);
});

t.test('the same files give the same measurement, anywhere', async (t) => {
  const [one, two] = [makePackage(t), makePackage(t)];
  t.strictSame(hex((await measure(one)).pcrs), hex((await measure(two)).pcrs));
});

t.test('a person finds the same with sha384sum', async (t) => {
  const root = makePackage(t);
  const { lines, pcrs } = await measure(root);
  const sources = lines.slice(1);
  const paths = sources.map((line) => line.slice(98));
  const list = execFileSync(TOOL, paths, { cwd: root, encoding: 'utf8' });
  t.equal(list, sources.map((line) => `${line}\n`).join(''));
  const digest = createHash('sha384').update(list).digest();
  t.strictSame(pcrs.get(2), extendedPcr(zeroPcr(), digest));
});

t.test('each part changes the registers that measure it, and no other', async (t) => {
  const root = makePackage(t);
  const before = [hex((await measure(root)).pcrs), hex((await measure(root, CORE)).pcrs)] as const;
  for (const [path, changed] of [
    ['bin/node', [0, 1, 4, 12]],
    ['enclave/vault/open.ts', [0, 2]],
    ['parent/core/main-dev.ts', [11, 12]],
    ['common/errors.ts', [0, 2, 11, 12]],
    ['native/engine/build/engine.node', [0, 2, 11, 12]],
    ['package.json', [0, 2, 11, 12]],
    ['package-lock.json', [0, 2, 11, 12]],
    ['node_modules/direct/node_modules/deep/index.cjs', [0, 2, 11, 12]],
    ['node_modules/tool/index.js', []],
    ['native/engine/target/debug.node', []],
  ] as const) {
    const good = readFileSync(join(root, path));
    appendFileSync(join(root, path), ' ');
    const after = [hex((await measure(root)).pcrs), hex((await measure(root, CORE)).pcrs)] as const;
    writeFileSync(join(root, path), good);
    const differ = before.flatMap((pcrs, i) => [...pcrs].filter(([index, value]) => after[i]?.get(index) !== value));
    t.strictSame(differ.map(([index]) => index).sort(byValue), changed, path);
  }
});

t.test('a second look finds nothing when nothing happened', async (t) => {
  const root = makePackage(t);
  const program = await measure(root);
  t.strictSame(await program.look(), { changed: [], pcrs: program.pcrs });
  t.equal(await program.unchanged(), true);
  const file = join(root, 'common/errors.ts');
  writeFileSync(file, readFileSync(file));
  t.equal(await program.unchanged(), true, 'written again with the same bytes');
  put(root, 'enclave/.main-dev.ts.swp', 'an editor was here');
  put(root, 'enclave/notes.md', 'so was a person');
  t.equal(await program.unchanged(), true, 'files that no process loads');
});

t.test('a second look finds every edit, and shows registers that no release can list', async (t) => {
  const edits: readonly (readonly [why: string, label: string, edit: (root: string) => void])[] = [
    ['a source', 'enclave/main-dev.ts', (root) => put(root, 'enclave/main-dev.ts', 'steal();')],
    ['Node itself', 'node', (root) => put(root, 'bin/node', '#!/bin/evil\n')],
    ['a package', 'node_modules/direct/index.js', (root) => put(root, 'node_modules/direct/index.js', 'steal();')],
    ['a native part', 'native/engine/build/engine.node', (root) => put(root, 'native/engine/build/engine.node', 'x')],
    ['a file removed', 'common/errors.ts', (root) => rmSync(join(root, 'common/errors.ts'))],
    ['a file added', 'enclave/evil.ts', (root) => put(root, 'enclave/evil.ts', 'steal();')],
    [
      'a package put before another',
      'enclave/node_modules/direct/index.js',
      (root) => put(root, 'enclave/node_modules/direct/index.js', 'steal();'),
    ],
    [
      'the same size and time stamp',
      'common/errors.ts',
      (root) => {
        const path = join(root, 'common/errors.ts');
        const { atime, mtime } = statSync(path);
        writeFileSync(path, 'export{} ;\n');
        utimesSync(path, atime, mtime);
      },
    ],
    [
      'another file in its place',
      'common/errors.ts',
      (root) => {
        put(root, 'common/next', 'steal();');
        renameSync(join(root, 'common/next'), join(root, 'common/errors.ts'));
      },
    ],
  ];
  for (const [why, label, edit] of edits) {
    const root = makePackage(t);
    const program = await measure(root);
    edit(root);
    const look = await program.look();
    t.strictSame(look.changed, [label], why);
    t.equal(await program.unchanged(), false, why);
    const again = hex((await measure(root)).pcrs);
    const before = hex(program.pcrs);
    for (const [index, value] of hex(look.pcrs)) {
      const concerned = index === 0 || index === (label === 'node' ? 1 : 2);
      t.equal(value !== before.get(index), concerned, `${why}: register ${index}`);
      t.equal(value !== again.get(index), concerned, `${why}: register ${index} is not that of the edited program`);
    }
  }
});

t.test('a file that was new when it was measured is read again', async (t) => {
  const root = makePackage(t);
  const sameState = { nowMs: () => 0, monotonicMs: () => 0 };
  const program = await measureProgram({ entry: ENGINE, ...place(root), clock: sameState });
  t.equal(await program.unchanged(), true);
});

t.test('what cannot be measured is named', async (t) => {
  const refused = async (why: string, spoil: (root: string) => void, path: RegExp) => {
    const root = makePackage(t);
    spoil(root);
    await t.rejects(measure(root), { code: 'STATE_INVALID', facts: { path, cure: /./ } }, why);
  };
  await refused(
    'a package is missing',
    (root) => rmSync(join(root, 'node_modules/direct'), { recursive: true }),
    /direct$/,
  );
  await refused('no sources', (root) => rmSync(join(root, 'enclave'), { recursive: true }), /enclave$/);
  await refused(
    'a manifest is damaged',
    (root) => put(root, 'node_modules/direct/package.json', '{'),
    /package\.json$/,
  );
  await refused(
    'a link to a folder',
    (root) => {
      renameSync(join(root, 'enclave/vault'), join(root, 'elsewhere'));
      symlinkSync(join(root, 'elsewhere'), join(root, 'enclave/vault'));
    },
    /enclave\/vault$/,
  );
  const root = makePackage(t);
  for (const entry of ['parent/cli/main.ts', '../evil.ts', 'enclave/../../evil.ts', '']) {
    await t.rejects(measure(root, entry), { code: 'REQUEST_INVALID' }, entry);
  }
});

t.test('an installed package is measured by its compiled sources', async (t) => {
  const root = makePackage(t);
  for (const [path, text] of Object.entries(FILES)) {
    if (/^(enclave|common|attestation|native)/.test(path)) put(root, `dist/${path.replace(/ts$/, 'js')}`, text);
  }
  const { lines, role } = await measure(root, 'dist/enclave/main-dev.js');
  t.equal(role, 'engine');
  t.ok(lines.some((line) => line.endsWith('  dist/enclave/vault/open.js')));
  t.notOk(lines.some((line) => line.endsWith('  enclave/vault/open.ts')));
});

t.test('this very program is measured, quickly and off the loop', async (t) => {
  const packageRoot = join(import.meta.dirname, '../../../..');
  const options = { entries: [ENGINE, CORE], nodePath: process.execPath, packageRoot };
  const startedAt = systemClock.monotonicMs();
  const [engine, core] = await measurePrograms(options);
  const ms = systemClock.monotonicMs() - startedAt;
  t.ok(ms < 2500, `${Math.round(ms)} ms for both`);
  const covered = new Set(engine?.lines.map((line) => line.slice(98)));
  for (const path of [
    'enclave/main-dev.ts',
    'attestation/developer/nsm-link.ts',
    'node_modules/pino/package.json',
    'node_modules/@noble/curves/secp256k1.js',
    'package-lock.json',
  ]) {
    t.ok(covered.has(path), path);
  }
  t.notOk(covered.has('parent/core/main-dev.ts'), 'an engine loads nothing of the parent');
  t.notOk(
    [...covered].some((path) => path.startsWith('node_modules/tap/')),
    'nor what developers use',
  );
  t.ok(core && core.files > 500, `${core?.files} files`);
});
