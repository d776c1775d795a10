/** The Core as a process: its ready line, its supervisor, its signals and what it refuses to start with. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { serveNsm } from '../../attestation/developer/nsm-link.ts';
import { developerConfig } from '../../parent/cli/supervise/node-toml.ts';
import { freePorts } from '../helpers/free-port.ts';
import { scriptedEngine } from '../helpers/scripted-engine.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { acceptCore, testTrust } from '../helpers/test-trust.ts';

interface CoreProcess {
  readonly child: ChildProcess;
  /** Resolves with the first log line of that event. */
  line(event: string): Promise<Record<string, unknown>>;
  readonly exited: Promise<number | null>;
}

async function start(t: Test, { program = 'main-dev', edit = (toml: string) => toml } = {}): Promise<CoreProcess> {
  const dir = tempDir(t);
  const trust = await testTrust(dir);
  const { endpoint, socketPath } = await trust.engineEndpoint(t);
  await scriptedEngine(t, {}, { socketPath, accept: (socket) => acceptCore(socket, endpoint) });
  const [clientPort = 0, publicPort = 0, opsPort = 0] = await freePorts(3);
  const settings = { dir, socketPath, clientPort, publicPort, opsPort };
  const config = join(dir, 'node.toml');
  await writeFile(config, edit(developerConfig({ ...settings, logLevel: 'info', treatV0ExtraDataAsEmpty: false })));
  const main = fileURLToPath(new URL(`../../parent/core/${program}.ts`, import.meta.url));
  const child = spawn(process.execPath, [main, '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const device = child.stdio[4];
  if (device instanceof Duplex) serveNsm(device, (await trust.attester({ role: 'core' })).device);
  t.teardown(() => child.kill('SIGKILL'));
  const waiting = new Map<string, PromiseWithResolvers<Record<string, unknown>>>();
  const of = (event: string) => {
    const found = waiting.get(event) ?? Promise.withResolvers<Record<string, unknown>>();
    waiting.set(event, found);
    return found;
  };
  let rest = '';
  child.stdout?.on('data', (chunk) => {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const facts: Record<string, unknown> = JSON.parse(line);
      of(String(facts.event)).resolve(facts);
    }
  });
  return { child, line: (event) => of(event).promise, exited: once(child, 'exit').then(([code]) => code) };
}

t.test('says where it listens once it serves, and ends in order on SIGTERM', async (t) => {
  const { child, line, exited } = await start(t);
  const ready = await line('core.ready');
  t.match(ready, { clientUrl: /^http:\/\/127\.0\.0\.1:\d+$/, publicUrl: /\/kms\/PUB$/, startMs: Number });
  t.equal((await fetch(`${ready.opsUrl}/ready`)).status, 200);
  child.kill('SIGTERM');
  t.equal(await exited, 0);
});

t.test('ends when its supervisor is gone', async (t) => {
  const { child, line, exited } = await start(t);
  await line('core.ready');
  child.stdio[3]?.destroy();
  t.match(await line('core.stopping'), { reason: 'the supervisor is gone' });
  t.equal(await exited, 0);
});

t.test('refuses a configuration of the other mode, a typo, and one that opens plaintext to others', async (t) => {
  const cases = [
    ['main', (toml: string) => toml, /not for developer_mode = true/],
    ['main-dev', (toml: string) => toml.replace('developer_mode = true', 'developer_mode = false'), /= false/],
    ['main-dev', (toml: string) => toml.replace('listen_port', 'listen_prot'), /listen_port/],
    ['main-dev', (toml: string) => toml.replace('"127.0.0.1"', '"0.0.0.0"'), /allow_plaintext_clients/],
  ] as const;
  for (const [program, edit, reason] of cases) {
    const { child, exited } = await start(t, { program, edit });
    const told = child.stderr ? text(child.stderr) : '';
    t.equal(await exited, 2, String(reason));
    t.match(await told, reason);
  }
});
