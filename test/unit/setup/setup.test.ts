/**
 * scripts/setup on a made-up clone, with made-up tools as the only things on its path.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

const SETUP = join(import.meta.dirname, '../../../scripts/setup');
const GOOD_TOOLS = {
  node: 'echo v24.21.0',
  npm: 'echo "npm $*" >>calls; mkdir -p node_modules/.bin; printf "#!/bin/sh\\n" >node_modules/.bin/node; chmod +x node_modules/.bin/node',
  cargo: 'echo "cargo 1.95.0 (f2d3ce0bd 2026-03-21)"',
  cc: 'echo "cc 12.2.0"',
  'c++': 'echo "c++ 12.2.0"',
};

function script(file: string, body: string): void {
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}

/** A clone with the given tools; tools that are undefined are not installed. */
function makeClone(t: Teardown, tools: Record<string, string | undefined> = {}) {
  const root = tempDir(t);
  mkdirSync(join(root, 'scripts'));
  mkdirSync(join(root, 'bin'));
  copyFileSync(SETUP, join(root, 'scripts/setup'));
  script(join(root, 'scripts/build-native'), 'echo native >>calls; echo building');
  writeFileSync(join(root, 'package-lock.json'), '{}');
  for (const name of ['dirname', 'cksum', 'grep', 'mkdir', 'chmod', 'flock']) {
    const real = ['/usr/bin', '/bin'].map((folder) => join(folder, name)).find(existsSync);
    if (real) symlinkSync(real, join(root, 'bin', name));
  }
  for (const [name, body] of Object.entries({ ...GOOD_TOOLS, ...tools })) {
    if (body !== undefined) script(join(root, 'bin', name), body);
  }
  const setup = (...args: string[]) => {
    const env = { PATH: join(root, 'bin'), HOME: root };
    const { status, stdout, stderr } = spawnSync('/bin/bash', ['scripts/setup', ...args], {
      cwd: root,
      env,
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };
  const calls = () =>
    existsSync(join(root, 'calls')) ? readFileSync(join(root, 'calls'), 'utf8').trim().split('\n') : [];
  return { root, setup, calls };
}

t.test('a missing tool is named with its cure, all of them at once, and nothing is done', async (t) => {
  const none = { node: undefined, npm: undefined, cargo: undefined, cc: undefined, 'c++': undefined };
  const { root, setup, calls } = makeClone(t, none);
  const { status, stdout, stderr } = setup();
  t.equal(status, 1);
  t.equal(stdout, '');
  for (const name of ['Node.js', 'npm', 'cargo', "'cc'", "'c++'"]) t.match(stderr, name, `names ${name}`);
  t.match(stderr, /5 of the tools needed/);
  t.equal(stderr.match(/cure: \S/g)?.length, 5, 'a cure for each');
  t.match(stderr, 'sh.rustup.rs', 'the cure is a command');
  t.same(calls(), []);
  t.notOk(existsSync(join(root, 'node_modules')));
});

t.test('tools of an older version than needed are refused with both versions', async (t) => {
  const { setup } = makeClone(t, { node: 'echo v18.20.4', cargo: 'echo cargo 1.91.0' });
  const { status, stderr } = setup();
  t.equal(status, 1);
  t.match(stderr, 'Node.js 18.20.4 is too old (needed: 20 or newer)');
  t.match(stderr, 'cargo 1.91.0 is too old (needed: 1.91.1 or newer)');
});

t.test('versions are compared as numbers, not as text', async (t) => {
  for (const cargo of ['1.91.1', '1.100.0', '2.0.0', '1.92.0-nightly']) {
    const { setup } = makeClone(t, { cargo: `echo cargo ${cargo}` });
    t.equal(setup().status, 0, `cargo ${cargo} will do`);
  }
  for (const cargo of ['1.9.9', '0.99.0', '1.91.0']) {
    const { setup } = makeClone(t, { cargo: `echo cargo ${cargo}` });
    t.equal(setup().status, 1, `cargo ${cargo} will not do`);
  }
});

t.test('a cargo that rustup installed but no shell has on its path yet is found', async (t) => {
  const { root, setup } = makeClone(t, { cargo: undefined });
  mkdirSync(join(root, '.cargo/bin'), { recursive: true });
  script(join(root, '.cargo/bin/cargo'), GOOD_TOOLS.cargo);
  t.equal(setup().status, 0);
});

t.test('a cargo without a toolchain counts as missing', async (t) => {
  const { setup } = makeClone(t, { cargo: 'echo "no default is configured" >&2; exit 1', rustup: 'true' });
  const { status, stderr } = setup();
  t.equal(status, 1);
  t.match(stderr, 'rustup update stable && rustup default stable');
});

t.test('packages are installed once, and again when the lockfile changes', async (t) => {
  const { root, setup, calls } = makeClone(t);
  t.equal(setup().status, 0);
  t.same(calls(), ['npm ci --ignore-scripts --no-audit --no-fund', 'native']);
  const second = setup();
  t.equal(second.status, 0);
  t.match(second.stderr, /done \([01]\.\d s\)/, 'a second run is over at once');
  t.same(calls().slice(2), ['native'], 'a second run installs nothing');
  writeFileSync(join(root, 'package-lock.json'), '{"changed":true}');
  t.equal(setup().status, 0);
  t.equal(calls().length, 5, 'a changed lockfile installs again');
  rmSync(join(root, 'node_modules'), { recursive: true });
  t.equal(setup().status, 0);
  t.equal(calls().length, 7, 'a removed node_modules installs again');
});

t.test('a failed installation is told with a cure and tried again next time', async (t) => {
  const { root, setup, calls } = makeClone(t, {
    npm: 'echo "npm $*" >>calls; echo "registry unreachable" >&2; exit 1',
  });
  const { status, stderr } = setup();
  t.equal(status, 1);
  t.match(stderr, 'registry unreachable');
  t.match(stderr, /cure: check the network/);
  t.equal(setup('--quiet').status, 1);
  t.equal(calls().length, 2);
  t.notOk(existsSync(join(root, 'node_modules/.arca-setup')));
});

t.test('a failed native build fails the set-up and shows why, quiet or not', async (t) => {
  const { root, setup } = makeClone(t);
  script(join(root, 'scripts/build-native'), 'echo "error[E0308]: mismatched types"; exit 101');
  for (const args of [[], ['--quiet']]) {
    const { status, stderr, stdout } = setup(...args);
    t.equal(status, 1);
    t.equal(stdout, '');
    t.match(stderr, 'E0308');
    t.match(stderr, 'the native part did not build');
  }
});

t.test('all output goes to standard error, and none is made when quiet', async (t) => {
  const { setup } = makeClone(t);
  const loud = setup();
  t.equal(loud.stdout, '');
  t.match(loud.stderr, /tools: ok .*npm packages: installed .*native part: current .*done/s);
  t.strictSame(setup('--quiet'), { status: 0, stdout: '', stderr: '' });
});

t.test('where the packages bring no Node of their own, an older one on the path is refused', async (t) => {
  const { setup } = makeClone(t, { node: 'echo v22.11.0', npm: 'mkdir -p node_modules' });
  const { status, stderr } = setup();
  t.equal(status, 1);
  t.match(stderr, 'needs Node.js 24 or newer on the path, found 22.11.0');
});

t.test('an unknown argument is a usage error', async (t) => {
  const { setup } = makeClone(t);
  const { status, stderr } = setup('--quite');
  t.equal(status, 2);
  t.match(stderr, 'usage: scripts/setup [--quiet]');
});
