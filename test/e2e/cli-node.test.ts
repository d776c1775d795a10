/**
 * Every command against a node that `arca dev` runs, and what a killed supervisor leaves behind: nothing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { z } from 'zod';
import { isRunning } from '../../parent/cli/supervise/node-file.ts';
import { runCliScript } from '../helpers/cli-script.ts';
import { type Teardown, tempDir } from '../helpers/temp-dir.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/arca', import.meta.url));
const ANY_PORTS = ['--port', '0', '--public-port', '0', '--ops-port', '0'];

const Ready = z.looseObject({
  ready: z.literal(true),
  readyMs: z.number(),
  pid: z.number(),
  clientUrl: z.string(),
  publicUrl: z.string(),
  opsUrl: z.string(),
  pids: z.record(z.string(), z.number()),
  address: z.string(),
});

const startDev = (t: Teardown, dir: string, ...more: string[]) =>
  startNode(t, ['dev', '--dir', dir, ...ANY_PORTS, ...more]);

/** Runs a node until the test ends; returns what it said when it was ready. */
async function startNode(t: Teardown, args: readonly string[]) {
  const child = spawn(LAUNCHER, [...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  // A test that runs out of time ends without its teardown; its node must not outlive it.
  const killNode = () => child.kill('SIGKILL');
  process.once('exit', killNode);
  t.teardown(async () => {
    process.off('exit', killNode);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'close');
  });
  const first = once(createInterface({ input: child.stdout }), 'line');
  const line = await Promise.race([first, once(child, 'close').then(() => undefined)]);
  if (line === undefined) throw new Error(`arca ${args[0]} ended:\n${said.join('\n')}`);
  return { child, said, ...Ready.parse(JSON.parse(String(line[0]))) };
}

/** Looks again and again, without a fixed sleep, until `check` holds; the test's own time limit ends it. */
async function until(check: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function isFree(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.once('connect', () => socket.destroy() && resolve(false));
    socket.once('error', () => resolve(true));
  });
}

t.test('every command does against a running node what the script says', async (t) => {
  const base = tempDir(t);
  const dir = join(base, 'state');
  const out = join(base, 'out');
  mkdirSync(out);
  const node = await startDev(t, dir);
  await runCliScript(t, new URL('./scripts/node.txt', import.meta.url), {
    DIR: dir,
    OUT: out,
    PID: String(node.pid),
    URL: node.clientUrl,
    PUBLIC_URL: node.publicUrl,
  });
});

t.test('a crashed engine or core is started again and serves on', async (t) => {
  const dir = join(tempDir(t), 'state');
  const node = await startDev(t, dir);
  for (const name of ['engine', 'core'] as const) {
    process.kill(node.pids[name] ?? 0, 'SIGKILL');
    await until(() => node.said.some((line) => line.includes(`the ${name} is ready again`)));
  }
  await until(async () => (await fetch(`${node.opsUrl}/ready`).catch(() => undefined))?.status === 200);
  t.ok(isRunning(node.pid), 'the supervisor never stopped');
});

t.test('SIGTERM stops all in order and removes node.json', async (t) => {
  const dir = join(tempDir(t), 'state');
  const node = await startDev(t, dir);
  node.child.kill('SIGTERM');
  const [code] = await once(node.child, 'close');
  t.equal(code, 0, node.said.join('\n'));
  for (const pid of Object.values(node.pids)) t.notOk(isRunning(pid), `${pid} is gone`);
  t.notOk(existsSync(join(dir, 'node.json')), 'no node is announced');
});

t.test('SIGKILL of the supervisor leaves no process and no held port, and the folder starts again', async (t) => {
  const dir = join(tempDir(t), 'state');
  const node = await startDev(t, dir);
  node.child.kill('SIGKILL');
  await once(node.child, 'close');
  for (const pid of Object.values(node.pids)) await until(() => !isRunning(pid));
  for (const url of [node.clientUrl, node.publicUrl, node.opsUrl]) t.ok(await isFree(url), `${url} is free`);
  const again = await startDev(t, dir);
  t.ok(again.ready, 'it starts again');
});

t.test(
  'a restart keeps the identity, --reset makes a new one, arca node runs the same folder from its file',
  async (t) => {
    const dir = join(tempDir(t), 'state');
    const stopped = async (node: Awaited<ReturnType<typeof startDev>>) => {
      node.child.kill('SIGTERM');
      await once(node.child, 'close');
      return node.address;
    };
    const first = await stopped(await startDev(t, dir));
    const config = join(dir, '..', 'copy.toml');
    copyFileSync(join(dir, 'node.toml'), config);
    t.equal(await stopped(await startNode(t, ['node', '--config', config])), first, 'arca node');
    t.equal(await stopped(await startDev(t, dir)), first, 'restart');
    t.not(await stopped(await startDev(t, dir, '--reset')), first, 'reset');
  },
);
