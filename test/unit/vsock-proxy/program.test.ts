/**
 * The program: its ready line, its metrics, SIGHUP, its supervisor, and what it says of a bad start.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { fakeGuest } from './fake-daemon.ts';
import { dial } from './running-proxy.ts';

const MAIN = join(import.meta.dirname, '../../../vsock-proxy/main.ts');

type Line = Readonly<Record<string, unknown>>;

/** A running program and its log. */
function run(t: Teardown, args: string[]) {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  t.teardown(() => void child.kill('SIGKILL'));
  if (!child.stdout || !child.stderr) throw new Error('no pipes');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const event = async (name: string): Promise<Line> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`ended without ${name}`);
      const line: Line = JSON.parse(value);
      if (line.event === name) return line;
    }
  };
  return { child, event, errors: text(child.stderr), exit: once(child, 'exit') };
}

const config = (path: string, routes: string): string =>
  `[vsock]\npath = "${path}"\n[telemetry]\nmetrics_listen = "127.0.0.1:0"\n${routes}`;
const routeOf = (name: string, folder: string): string =>
  `[[route]]\nname = "${name}"\nfrom = "unix:${folder}/${name}.sock"\nto = "vsock:7100"\n`;

t.test('the program relays, tells its figures, reads its file again and ends with its supervisor', async (t) => {
  const [folder, guest] = [tempDir(t), await fakeGuest(t)];
  guest.serve(7100, (socket) => void text(socket).then((said) => socket.end(`heard ${said}`)));
  const file = join(folder, 'proxy.toml');
  writeFileSync(file, config(guest.path, routeOf('core', folder)));
  const { child, event, exit } = run(t, ['--config', file]);
  const ready = await event('proxy.ready');
  t.equal(ready.routes, 'core');
  t.equal(statSync(`${folder}/core.sock`).mode & 0o777, 0o600);
  const socket = await dial(t, `${folder}/core.sock`);
  socket.end('you');
  t.equal(await text(socket), 'heard you');
  const metrics = await (await fetch(`http://127.0.0.1:${ready.metricsPort}/metrics`)).text();
  t.match(metrics, /^kms_proxy_bytes_total\{route="core",direction="up"\} 3$/m);
  t.equal((await fetch(`http://127.0.0.1:${ready.metricsPort}/health`)).status, 200);
  t.equal((await fetch(`http://127.0.0.1:${ready.metricsPort}/`)).status, 404);
  t.equal((await fetch(`http://127.0.0.1:${ready.metricsPort}/metrics`, { method: 'POST' })).status, 405);

  writeFileSync(file, config(guest.path, routeOf('core', folder) + routeOf('more', folder)));
  child.kill('SIGHUP');
  t.equal((await event('proxy.reloaded')).routes, 2);
  t.ok(existsSync(`${folder}/more.sock`));
  writeFileSync(file, 'not a configuration');
  child.kill('SIGHUP');
  t.match((await event('proxy.reload.refused')).err, { code: 'CONFIG_INVALID' });
  await dial(t, `${folder}/more.sock`).then((one) => one.destroy());

  const pipe = child.stdio[3];
  if (pipe && 'destroy' in pipe) pipe.destroy();
  t.equal((await event('proxy.stopping')).reason, 'the supervisor is gone');
  t.same(await exit, [0, null]);
});

t.test('a bad start is told, with status 2 for what the operator wrote', async (t) => {
  const folder = tempDir(t);
  const file = join(folder, 'proxy.toml');
  for (const [args, status, says] of [
    [[], 2, /needs --config FILE/],
    [['--config', file, 'more'], 2, /needs --config FILE/],
    [['--config', join(folder, 'none')], 2, /there is no such file/],
  ] as const) {
    const { errors, exit } = run(t, [...args]);
    t.same(await exit, [status, null], args.join(' '));
    t.match(await errors, says, args.join(' '));
  }
  writeFileSync(file, config('/nowhere/vm', routeOf('core', `${folder}/none`)));
  const { errors, exit } = run(t, ['--config', file]);
  t.same(await exit, [1, null]);
  t.match(await errors, /cannot listen on .*core\.sock: E[A-Z]+/);
});
