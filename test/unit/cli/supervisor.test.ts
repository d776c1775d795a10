import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { isRunning } from '../../../parent/cli/supervise/node-file.ts';
import { type SupervisorEvent, supervise } from '../../../parent/cli/supervise/supervisor.ts';
import { freePorts } from '../../helpers/free-port.ts';
import { present } from '../../helpers/present.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const file = fileURLToPath(new URL('../../helpers/fake-child.ts', import.meta.url));
const program = (name: string, ...args: string[]) => ({ name, file, args, readyEvent: 'fake.ready' });
const QUICK = { firstMs: 5, maxMs: 20, goodRunMs: 60_000 };

/** Resolves once the port refuses connections. */
async function portIsFree(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  const free = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(false));
    socket.once('error', () => resolve(true));
  });
  socket.destroy();
  return free;
}

/** Looks again and again, without a fixed sleep, until `check` holds; the test's own time limit ends it. */
async function until(check: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 10));
}

t.test('children are started at once, are ready, and are gone after stop', async (t) => {
  const supervisor = supervise([program('a', 'serve', '0'), program('b', 'serve', '0')]);
  await supervisor.ready;
  const pids = Object.values(supervisor.pids());
  t.equal(pids.length, 2, 'two children run');
  await supervisor.stop();
  for (const pid of pids) t.notOk(isRunning(pid), `${pid} is gone`);
  await supervisor.stop();
});

t.test('a crashed child is started again with back-off, the other goes on', async (t) => {
  const events: SupervisorEvent[] = [];
  const supervisor = supervise([program('a', 'serve', '0'), program('b', 'serve', '0')], {
    backOff: QUICK,
    onEvent: (event) => events.push(event),
  });
  await supervisor.ready;
  const before = supervisor.pids();
  for (const round of [1, 2]) {
    process.kill(supervisor.pids().a ?? 0, 'SIGKILL');
    await until(() => events.filter(({ kind, name }) => kind === 'ready' && name === 'a').length === round + 1);
  }
  t.not(supervisor.pids().a, before.a, 'a is another process');
  t.equal(supervisor.pids().b, before.b, 'b was left alone');
  const crashes = events.filter((event) => event.kind === 'crashed');
  t.match(crashes, [
    { name: 'a', exit: { signal: 'SIGKILL' }, retryInMs: 5 },
    { name: 'a', exit: { signal: 'SIGKILL' }, retryInMs: 10 },
  ]);
  await supervisor.stop();
});

t.test('a child that ends before it is ready fails the start with its own words and stops the others', async (t) => {
  const supervisor = supervise([program('a', 'serve', '0'), program('b', 'die')]);
  const error = await supervisor.ready.then(
    () => undefined,
    (error: unknown) => error,
  );
  t.match(error, { code: 'UNAVAILABLE', message: 'the b did not start: exit code 3' });
  t.match(error, { cause: { message: /the disk is on fire/ }, facts: { cure: String } });
  t.same(supervisor.pids(), {}, 'no child is left');
});

t.test('a start waits for a service that is not available, and says so', async (t) => {
  const events: SupervisorEvent[] = [];
  const supervisor = supervise([program('a', 'throttled', join(tempDir(t), 'starts'))], {
    backOff: QUICK,
    onEvent: (event) => events.push(event),
  });
  await supervisor.ready;
  const why = 'AWS KMS asks for fewer requests';
  t.match(
    events.filter((event) => event.kind === 'crashed'),
    [
      { name: 'a', exit: { code: 1 }, retryInMs: 5, why },
      { name: 'a', exit: { code: 1 }, retryInMs: 10, why },
    ],
  );
  await supervisor.stop();
});

t.test('a start does not wait beyond its limit, and ends with what was not available', async (t) => {
  const supervisor = supervise([program('a', 'throttled', join(tempDir(t), 'starts'))], {
    backOff: { firstMs: 3_600_000, maxMs: 3_600_000, goodRunMs: 1 },
    startLimitMs: 3000,
  });
  await t.rejects(supervisor.ready, { code: 'DEADLINE_EXCEEDED', cause: { message: /AWS KMS asks for fewer/ } });
});

t.test('a node that is not ready within its limit is stopped', async (t) => {
  const supervisor = supervise([program('a', 'silent')], { startLimitMs: 300 });
  await t.rejects(supervisor.ready, { code: 'DEADLINE_EXCEEDED' });
  t.same(supervisor.pids(), {}, 'no child is left');
});

t.test('the limit of a start begins again while somebody has to do something first', async (t) => {
  let asked = 0;
  const supervisor = supervise([program('a', 'silent')], { startLimitMs: 100, mayStartLate: () => ++asked < 3 });
  await t.rejects(supervisor.ready, { code: 'DEADLINE_EXCEEDED' });
  t.equal(asked, 3);
});

t.test('a start that takes too long says what its children complained of', async (t) => {
  const complained = Promise.withResolvers<void>();
  const onEvent = (event: SupervisorEvent): void => {
    if (event.kind === 'line' && event.line.includes('fake.refused')) complained.resolve();
  };
  const supervisor = supervise([program('a', 'refused'), program('b', 'serve', '0')], {
    startLimitMs: 10_000,
    onEvent,
  });
  await complained.promise;
  await t.rejects(supervisor.ready, {
    code: 'DEADLINE_EXCEEDED',
    cause: { message: 'a: fake.refused nobody lets it in' },
  });
});

t.test('a child that ignores SIGTERM is killed after the grace time', async (t) => {
  const supervisor = supervise([program('a', 'stubborn', '0')], { stopGraceMs: 50 });
  await supervisor.ready;
  const pid = supervisor.pids().a ?? 0;
  await supervisor.stop();
  t.notOk(isRunning(pid), 'it is gone');
});

t.test('SIGKILL of the supervisor leaves no orphan and no held port', async (t) => {
  const ports = await freePorts(2);
  const script = fileURLToPath(new URL('../../helpers/fake-supervisor.ts', import.meta.url));
  const supervisor = spawn(process.execPath, [script, ...ports.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: supervisor.stdout }), 'line');
  const pids: number[] = Object.values(JSON.parse(String(line)));
  t.equal(pids.length, 2, 'two children run');
  for (const port of ports) t.notOk(await portIsFree(port), `port ${port} is held`);
  supervisor.kill('SIGKILL');
  await once(supervisor, 'close');
  for (const pid of pids) await until(() => !isRunning(pid));
  for (const port of ports) t.ok(await portIsFree(port), `port ${port} is free again`);
});

t.test('one that hears is told why another is not up, also when it starts later, and when that ends', async (t) => {
  const [port = 0] = await freePorts(1);
  const heard: string[] = [];
  let isUp = false;
  const supervisor = supervise(
    [program('engine', 'late', String(port)), { ...program('core', 'serve', '0'), hears: true as const }],
    {
      backOff: QUICK,
      onEvent: (event) => {
        if (event.kind === 'ready' && event.name === 'core') isUp = true;
        if (event.kind !== 'line') return;
        const { event: what, said } = JSON.parse(event.line);
        if (what === 'fake.heard') heard.push(`${event.name}: ${said.trim()}`);
      },
    },
  );
  const complaint = 'core: {"about":"engine","trouble":"AWS KMS asks for fewer requests"}';
  await until(() => heard.includes(complaint) && isUp);
  process.kill(present(supervisor.pids().core), 'SIGKILL');
  await until(() => heard.length === 2);
  await until(async () => !(await portIsFree(port)));
  await supervisor.ready;
  await until(() => heard.length === 3);
  t.same(
    heard,
    [complaint, complaint, 'core: {"about":"engine"}'],
    'and the engine, which does not hear, is told nothing',
  );
  await supervisor.stop();
});
