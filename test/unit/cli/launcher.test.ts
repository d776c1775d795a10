/**
 * bin/arca in the places where it may stand: a clone, an installed package with the pinned Node below or beside it.
 */
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { tempDir } from '../../helpers/temp-dir.ts';

const LAUNCHER = fileURLToPath(new URL('../../../bin/arca', import.meta.url));
const PINNED = `node-linux-${process.arch === 'arm64' ? 'arm64' : 'x64'}`;

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a launcher with a search path that holds the system's tools and `extraPath` only. */
function launch(file: string, extraPath = ''): Promise<Ran> {
  const env = { PATH: `${extraPath}:${dirname(SHELL_TOOLS)}`, HOME: '/nonexistent' };
  return new Promise((resolve) => {
    execFile(file, ['status', '--json'], { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

/** A folder with links to the tools that the launcher uses, so that no Node of this machine is on the path. */
const SHELL_TOOLS = (() => {
  const dir = join(tempDir(t), 'tools');
  mkdirSync(dir);
  for (const tool of ['sh', 'uname', 'readlink', 'dirname']) symlinkSync(`/usr/bin/${tool}`, join(dir, tool));
  return join(dir, 'sh');
})();

function write(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** A Node that says its version, or what it was told to run. */
function fakeNode(path: string, version = 'v24.1.0'): void {
  write(path, `#!/bin/sh\nif [ "$1" = --version ]; then echo ${version}; else echo "ran $*"; fi\n`);
  chmodSync(path, 0o755);
}

/** Puts the launcher into a package folder. */
function install(root: string, main: string): string {
  write(join(root, main), '');
  const file = join(root, 'bin/arca');
  mkdirSync(dirname(file), { recursive: true });
  copyFileSync(LAUNCHER, file);
  chmodSync(file, 0o755);
  return file;
}

t.test('a clone runs its sources with the pinned Node', async (t) => {
  const root = tempDir(t);
  const file = install(root, 'parent/cli/main.ts');
  mkdirSync(join(root, 'node_modules/commander'), { recursive: true });
  fakeNode(join(root, 'node_modules', PINNED, 'bin/node'));
  t.equal((await launch(file)).stdout, `ran ${root}/parent/cli/main.ts status --json\n`);
});

t.test('an installed package runs compiled JavaScript, through a link, with the pinned Node beside it', async (t) => {
  const modules = join(tempDir(t), 'node_modules');
  const file = install(join(modules, 'arca'), 'dist/parent/cli/main.js');
  fakeNode(join(modules, PINNED, 'bin/node'));
  mkdirSync(join(modules, '.bin'));
  symlinkSync('../arca/bin/arca', join(modules, '.bin/arca'));
  const wanted = `ran ${modules}/arca/dist/parent/cli/main.js status --json\n`;
  t.equal((await launch(file)).stdout, wanted, 'directly');
  t.equal((await launch(join(modules, '.bin/arca'))).stdout, wanted, 'through npm’s link');
});

t.test('without the pinned Node one on the path will do, if it is new enough', async (t) => {
  const root = tempDir(t);
  const file = install(root, 'dist/parent/cli/main.js');
  const none = await launch(file);
  t.match(none, { code: 1, stderr: /^arca: no Node.js was found\n {2}cure: install Node.js 24/ });
  fakeNode(join(root, 'old/node'), 'v20.20.2');
  const old = await launch(file, join(root, 'old'));
  t.match(old, { code: 1, stderr: /24 or newer is needed, found v20.20.2 at .*\n {2}cure: / });
  fakeNode(join(root, 'new/node'), 'v26.0.0');
  t.match((await launch(file, join(root, 'new'))).stdout, /^ran .*main\.js status --json/);
});

t.test('a clone without its packages, and a package without its program, say what to do', async (t) => {
  const clone = install(tempDir(t), 'parent/cli/main.ts');
  t.match(await launch(clone), { code: 1, stderr: /not installed\n {2}cure: run 'npm ci'/ });
  const broken = install(tempDir(t), 'README.md');
  t.match(await launch(broken), { code: 1, stderr: /cure: install the package again/ });
});
