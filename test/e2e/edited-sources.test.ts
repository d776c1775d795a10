/** A program that was edited after its node was started: its peers refuse it, and the log says which file it was. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { tempDir } from '../helpers/temp-dir.ts';

const ROOT = join(import.meta.dirname, '../..');
const PARTS = ['attestation', 'bin', 'common', 'enclave', 'native', 'parent', 'proto', 'storage', 'wire'];

/** A copy of the programs that a test may edit, on the packages of this clone. */
function copyPackage(to: string): void {
  mkdirSync(to);
  for (const name of [...PARTS, 'package.json', 'package-lock.json']) {
    cpSync(join(ROOT, name), join(to, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(to, 'node_modules'));
}

t.test('a restarted engine whose source was edited is refused until the node is started again', async (t) => {
  const folder = tempDir(t);
  const copy = join(folder, 'copy');
  const dir = join(folder, 'state');
  copyPackage(copy);
  const start = () => {
    const ports = ['--port', '0', '--public-port', '0', '--ops-port', '0'];
    const node = spawn(join(copy, 'bin/arca'), ['dev', '--dir', dir, '--json', ...ports], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let told = '';
    node.stderr.on('data', (chunk) => {
      told += chunk;
    });
    t.teardown(() => node.kill('SIGKILL'));
    return { node, told: () => told, ready: once(node.stdout, 'data').then(([line]) => JSON.parse(String(line))) };
  };
  const first = start();
  const { pids, opsUrl, release } = await first.ready;
  appendFileSync(join(copy, 'enclave/authorization.ts'), '\n// edited\n');
  process.kill(pids.engine, 'SIGKILL');
  const log = () => readFileSync(join(dir, 'node.log'), 'utf8');
  // Lines come through pipes of two processes: what was said first may be here last.
  const complaint = /changed since the engine was measured: enclave\/authorization\.ts; its peers will refuse it/;
  const refusal = /measurement: PCR0 of .* is [0-9a-f]{96}, it has [0-9a-f]{96}/;
  const refused = () => /mesh\.refused/.test(log()) && refusal.test(log());
  while (!refused() || !complaint.test(first.told())) await delay(50);
  t.match(log(), /"attestation\.files-changed","name":"engine","files":\["enclave\/authorization\.ts"\]/);
  let ready = await fetch(`${opsUrl}/ready`);
  let why = await ready.text();
  for (; !/measurement/.test(why); why = await ready.text()) {
    await delay(50);
    ready = await fetch(`${opsUrl}/ready`);
  }
  t.equal(ready.status, 503, 'health says why');
  first.node.kill('SIGTERM');
  await once(first.node, 'exit');

  const second = start();
  const again = await second.ready;
  t.not(again.release, release, 'the edited program is a release of its own');
  t.equal((await fetch(`${again.opsUrl}/ready`)).status, 200);
  t.match(execFileSync(join(copy, 'bin/arca'), ['peers', '--dir', dir], { encoding: 'utf8' }), again.release);
  second.node.kill('SIGTERM');
  await once(second.node, 'exit');
});
