/**
 * Every command against a quorum that `arca dev --parties 4` runs: four engines and four Cores as processes of their own.
 * What happens when parties are killed or lie, and what a killed supervisor leaves behind.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { z } from 'zod';
import { isRunning } from '../../parent/cli/supervise/node-file.ts';
import { runCliScript } from '../helpers/cli-script.ts';
import { type Teardown, tempDir } from '../helpers/temp-dir.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/arca', import.meta.url));
const ANY_PORTS = ['--port', '0', '--mesh-port', '0', '--public-port', '0', '--ops-port', '0'];

const Ready = z.looseObject({
  ready: z.literal(true),
  pid: z.number(),
  threshold: z.number(),
  parties: z.array(
    z.looseObject({
      party: z.number(),
      dir: z.string(),
      address: z.string(),
      clientUrl: z.string(),
      publicUrl: z.string(),
      opsUrl: z.string(),
      adminSocket: z.string(),
      pids: z.record(z.string(), z.number()),
    }),
  ),
});

/** Runs a quorum until the test ends; returns what it said when it was ready. */
async function startQuorum(t: Teardown, dir: string, ...more: string[]) {
  const args = ['dev', '--dir', dir, '--parties', '4', ...ANY_PORTS, ...more, '--json'];
  const child = spawn(LAUNCHER, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  // A test that runs out of time ends without its teardown; its quorum must not outlive it.
  const killAll = () => child.kill('SIGKILL');
  process.once('exit', killAll);
  t.teardown(async () => {
    process.off('exit', killAll);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'close');
  });
  const first = once(createInterface({ input: child.stdout }), 'line');
  const line = await Promise.race([first, once(child, 'close').then(() => undefined)]);
  if (line === undefined) throw new Error(`arca dev ended:\n${said.join('\n')}`);
  return { child, said, ...Ready.parse(JSON.parse(String(line[0]))) };
}

type Quorum = Awaited<ReturnType<typeof startQuorum>>;

const pidsOf = ({ parties }: Quorum): number[] => parties.flatMap(({ pids }) => Object.values(pids));

/** Looks again and again, without a fixed sleep, until `check` holds; the test's own time limit ends it. */
async function until(check: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Runs a command and returns its object. */
async function arca(...args: string[]): Promise<{ code: number; value: unknown; stderr: string }> {
  const child = spawn(LAUNCHER, [...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [code] = await once(child, 'close');
  return { code, value: JSON.parse(stdout), stderr };
}

t.test('every command does at a running quorum what the script says', async (t) => {
  const base = tempDir(t);
  const dir = join(base, 'state');
  const out = join(base, 'out');
  mkdirSync(out);
  const quorum = await startQuorum(t, dir);
  t.equal(new Set(pidsOf(quorum)).size, 8);
  t.ok(quorum.parties.every(({ publicUrl }, at) => publicUrl.endsWith(`/kms/PUB-p${at + 1}`)));
  await runCliScript(t, new URL('./scripts/quorum.txt', import.meta.url), {
    DIR: dir,
    OUT: out,
    PID: String(quorum.pid),
    SIGNERS: quorum.parties.map(({ address }) => address).join(','),
  });
});

t.test('a liar and a killed party change no answer, and both are named', async (t) => {
  const base = tempDir(t);
  const dir = join(base, 'state');
  const file = join(base, 'a.ct');
  const lying = await startQuorum(t, dir, '--lie-party', '2');
  t.match(await arca('key', 'generate', '--dir', dir), { code: 0, value: { parties: [1, 2, 3, 4] } });
  t.match(await arca('encrypt', '--type', 'euint32', '77', '--out', file, '--dir', dir), { code: 0 });
  const value = { plaintexts: [{ type: 'euint32', value: '77' }] };
  t.match(await arca('decrypt', file, '--dir', dir), { code: 0, value });
  t.match(await arca('decrypt', file, '--for-user', '--dir', dir), {
    code: 0,
    value: { ...value, parties: { agreed: [1, 3, 4], others: [/party 2 lies: its share is wrong/] } },
    stderr: /party 2 lies/,
  });
  const complaint = /party 2: .*wrong share/;
  t.match(await arca('doctor', '--dir', dir), { code: 1, value: { error: { message: complaint } } });
  lying.child.kill('SIGTERM');
  await once(lying.child, 'close');

  const killed = await startQuorum(t, dir, '--kill-party', '3');
  await until(() => killed.said.some((line) => line.includes('party 3 was killed')));
  t.match(await arca('decrypt', file, '--dir', dir), {
    code: 0,
    value: { ...value, parties: { agreed: [1, 2, 4] } },
    stderr: /party 3 is down/,
  });
  t.match(await arca('decrypt', file, '--for-user', '--dir', dir), { code: 0, value });
  t.match(await arca('key', 'generate', '--dir', dir), {
    code: 1,
    value: { error: { code: 'UNAVAILABLE', message: /needs 4 of 4 parties, 3 run \(party 3/, cure: /--kill-party/ } },
  });
  t.match(await arca('doctor', '--dir', dir), { code: 1, value: { error: { message: /party-3 is down/ } } });
  t.match(await arca('status', '--dir', dir), { code: 0, value: { parties: [{}, {}, { state: 'down' }, {}] } });
  t.notOk(existsSync(join(dir, 'party-3', 'node.json')), 'it is not announced, and not started again');
});

t.test('a crashed engine is started again and takes part', async (t) => {
  const base = tempDir(t);
  const dir = join(base, 'state');
  const file = join(base, 'a.ct');
  const quorum = await startQuorum(t, dir);
  await arca('key', 'generate', '--dir', dir);
  await arca('encrypt', '--type', 'euint16', '5', '--out', file, '--dir', dir);
  process.kill(quorum.parties[3]?.pids.engine ?? 0, 'SIGKILL');
  await until(() => quorum.said.some((line) => line.includes('party 4: the engine is ready again')));
  await until(async () => (await arca('doctor', '--dir', dir)).code === 0);
  const { value } = await arca('decrypt', file, '--dir', dir);
  t.match(value, { plaintexts: [{ value: '5' }], parties: { agreed: [1, 2, 3, 4], others: [] } });
});

t.test('Ctrl-C stops all within seconds; a killed supervisor leaves nothing', async (t) => {
  const dir = join(tempDir(t), 'state');
  const first = await startQuorum(t, dir);
  const began = performance.now();
  first.child.kill('SIGINT');
  const [code] = await once(first.child, 'close');
  t.equal(code, 0, first.said.join('\n'));
  t.ok(performance.now() - began < 60_000, 'eight processes are gone in seconds');
  t.notOk(pidsOf(first).some(isRunning));
  const second = await startQuorum(t, dir);
  t.strictSame(
    second.parties.map(({ address }) => address),
    first.parties.map(({ address }) => address),
    'the parties are who they were',
  );
  second.child.kill('SIGKILL');
  await once(second.child, 'close');
  for (const pid of pidsOf(second)) await until(() => !isRunning(pid));
  t.match(await arca('status', '--dir', dir), { code: 1, value: { error: { code: 'UNAVAILABLE' } } });
  t.match(await arca('dev', '--dir', dir, '--parties', '7', ...ANY_PORTS), {
    code: 1,
    value: { error: { message: /holds a quorum of 4 parties, not 7/ } },
  });
});
