/**
 * scripts/tpm-setup with made-up packages and tools: what it fetches, what it says when it cannot, and that it needs
 * nothing twice.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

const SCRIPT = join(import.meta.dirname, '../../../scripts/tpm-setup');
const SYSTEM_TOOLS = ['bash', 'sh', 'dirname', 'mkdir', 'mktemp', 'rm', 'mv', 'cat', 'chmod', 'tr', 'readlink'];
const GOOD = {
  'apt-get': 'echo "$*" >>"$HOME/calls"; shift; for name; do echo >"$name.deb"; done',
  'apt-cache': 'true',
  // Unpacks a program that says its name.
  'dpkg-deb':
    'mkdir -p "$3/usr/bin"; printf "#!/bin/sh\\necho swtpm \\$1\\n" >"$3/usr/bin/swtpm"; chmod +x "$3/usr/bin/swtpm"',
};

function makeHome(t: Teardown, tools: Record<string, string | undefined> = {}) {
  const home = tempDir(t);
  const bin = join(home, 'bin');
  mkdirSync(bin);
  for (const name of SYSTEM_TOOLS) {
    const real = ['/usr/bin', '/bin'].map((folder) => join(folder, name)).find(existsSync);
    if (real) symlinkSync(real, join(bin, name));
  }
  for (const [name, body] of Object.entries({ ...GOOD, ...tools })) {
    if (body === undefined) continue;
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('/bin/bash', [SCRIPT, ...args], {
      env: { PATH: bin, HOME: home },
      encoding: 'utf8',
    });
    return { status, stdout: stdout.trim(), stderr };
  };
  return { home, run };
}

t.test('the program is fetched once, and prints its path', async (t) => {
  const { home, run } = makeHome(t);
  const program = join(home, '.cache/arca/swtpm/swtpm');
  t.match(run('--check'), { status: 1, stderr: /cure: scripts\/tpm-setup/ });
  t.match(run(), { status: 0, stdout: program });
  t.match(run(), { status: 0, stdout: program });
  t.match(run('--check'), { status: 0, stdout: program });
  t.equal(readFileSync(join(home, 'calls'), 'utf8').trim().split('\n').length, 1, 'fetched once');
  const { stdout } = spawnSync(program, ['socket'], { encoding: 'utf8', env: { PATH: join(home, 'bin') } });
  t.equal(stdout, 'swtpm socket\n', 'it runs with its arguments');
  t.same(readdirSync(join(home, '.cache/arca')), ['swtpm'], 'no work folder is left');
});

t.test('an installed program is used as it is', async (t) => {
  const { home, run } = makeHome(t, { swtpm: 'true' });
  t.match(run(), { status: 0, stdout: join(home, 'bin/swtpm') });
  t.notOk(existsSync(join(home, 'calls')));
});

t.test('a system without Debian’s tools is told what to do', async (t) => {
  const { run } = makeHome(t, { 'dpkg-deb': undefined });
  t.match(run(), { status: 1, stderr: /dpkg-deb is missing.*\n.*cure: install swtpm/ });
});

t.test('a failed download is told with a cure, leaves nothing, and is tried again', async (t) => {
  const { home, run } = makeHome(t, { 'apt-get': 'echo "no network" >&2; exit 100' });
  for (let i = 0; i < 2; i++) t.match(run(), { status: 1, stderr: /no network[\s\S]*cure: apt-get update/ });
  t.same(readdirSync(join(home, '.cache/arca')), []);
});

t.test('an unknown argument is refused', async (t) => {
  t.match(makeHome(t).run('--force'), { status: 2, stderr: /usage/ });
});
