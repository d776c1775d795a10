/**
 * scripts/build-nitro on a made-up clone, with a compiler that only notes what it was asked.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

const SCRIPT = join(import.meta.dirname, '../../../scripts/build-nitro');
const PACKAGES = ['x64', 'arm64'].map((arch) => `node_modules/node-linux-${arch}/include/node`);
/** Writes what it is told to write, and says no to a source with the word "wrong". */
const COMPILER = `case $1 in --version) echo "c++ $VERSION_OF_FAKE"; exit ;; esac
echo "$*" >>calls
for a; do
  case $a in *.cc) if grep -q wrong "$a"; then echo "$a:1: error: wrong" >&2; exit 1; fi ;; esac
  if [ "$previous" = -o ]; then echo "made of $*" >"$a"; fi
  previous=$a
done`;

function makeClone(t: Teardown, { uname }: { uname?: string } = {}) {
  const root = tempDir(t);
  for (const folder of ['scripts', 'bin', 'native/nitro/src', 'node_modules/node-addon-api', ...PACKAGES]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  copyFileSync(SCRIPT, join(root, 'scripts/build-nitro'));
  for (const headers of PACKAGES) {
    for (const name of ['node_api.h', 'node_version.h']) writeFileSync(join(root, headers, name), '');
  }
  writeFileSync(join(root, 'node_modules/node-addon-api/napi.h'), '');
  for (const name of ['addon', 'link', 'relay', 'relay-sockets', 'platform-linux', 'platform-fake']) {
    writeFileSync(join(root, `native/nitro/src/${name}.cc`), name);
  }
  const tool = (name: string, body: string) => {
    writeFileSync(join(root, 'bin', name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(root, 'bin', name), 0o755);
  };
  tool('c++', COMPILER);
  if (uname) tool('uname', `echo ${uname}`);
  const build = (version = '12.2.0') => {
    const env = { PATH: `${join(root, 'bin')}:/usr/bin:/bin`, VERSION_OF_FAKE: version };
    const { status, stderr } = spawnSync('/bin/bash', ['scripts/build-nitro'], { cwd: root, env, encoding: 'utf8' });
    return { status, stderr };
  };
  const calls = () => (existsSync(join(root, 'calls')) ? readFileSync(join(root, 'calls'), 'utf8').split('\n') : []);
  return { root, build, calls };
}

t.test('both libraries are built once, strictly, and again only when something changed', async (t) => {
  const { root, build, calls } = makeClone(t);
  t.equal(build().status, 0);
  const made = join(root, 'native/nitro/build');
  t.same(readdirSync(made).sort(), ['nitro-fake.node', 'nitro.node', 'stamp']);
  t.match(readFileSync(join(made, 'nitro.node'), 'utf8'), 'platform-linux.o');
  t.notMatch(readFileSync(join(made, 'nitro.node'), 'utf8'), 'platform-fake.o', 'production has no stand-in');
  t.match(readFileSync(join(made, 'nitro-fake.node'), 'utf8'), 'platform-fake.o');
  for (const call of calls().filter((line) => line.includes(' -c '))) {
    for (const flag of ['-Wall', '-Werror', '-fno-exceptions', '-fvisibility=hidden']) t.match(call, flag);
  }
  const before = calls().length;
  const second = build();
  t.equal(second.status, 0);
  t.match(second.stderr, 'up to date');
  t.equal(calls().length, before, 'the compiler did not run');
  writeFileSync(join(root, 'native/nitro/src/link.cc'), 'changed');
  t.equal(build().status, 0);
  t.ok(calls().length > before, 'a changed source');
  t.match(build('13.1.0').stderr, 'built in', 'another compiler');
  rmSync(join(made, 'nitro-fake.node'));
  t.match(build('13.1.0').stderr, 'built in', 'a removed library');
});

t.test('a source that does not compile fails the build, shows why, and leaves the old library', async (t) => {
  const { root, build } = makeClone(t);
  build();
  const made = join(root, 'native/nitro/build');
  const old = readFileSync(join(made, 'nitro.node'), 'utf8');
  writeFileSync(join(root, 'native/nitro/src/relay.cc'), 'wrong');
  const { status, stderr } = build();
  t.not(status, 0);
  t.match(stderr, 'relay.cc:1: error: wrong');
  t.equal(readFileSync(join(made, 'nitro.node'), 'utf8'), old);
  t.same(readdirSync(made).sort(), ['nitro-fake.node', 'nitro.node', 'stamp'], 'nothing else is left');
  t.not(build().status, 0, 'and is tried again');
});

t.test('missing headers are named with the cure', async (t) => {
  const { root, build, calls } = makeClone(t);
  rmSync(join(root, 'node_modules/node-addon-api/napi.h'));
  const { status, stderr } = build();
  t.equal(status, 1);
  t.match(stderr, 'node-addon-api/napi.h is missing: run scripts/setup');
  t.same(calls(), []);
});

t.test('on another system than Linux nothing is built and nothing fails', async (t) => {
  const { root, build } = makeClone(t, { uname: 'Darwin' });
  const { status, stderr } = build();
  t.equal(status, 0);
  t.match(stderr, 'skipped');
  t.notOk(existsSync(join(root, 'native/nitro/build')));
});
