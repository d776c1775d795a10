import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { runChecks } from '../../../parent/cli/actions/doctor.ts';
import { CHECKS, type Findings, newFindings } from '../../../parent/cli/doctor/checks.ts';
import { clearDownMark, markDown } from '../../../parent/cli/quorum/down-mark.ts';
import { acquireFolderLock } from '../../../parent/cli/supervise/folder-lock.ts';
import { type NodeFile, writeNodeFile } from '../../../parent/cli/supervise/node-file.ts';
import { createStateFolder, writeFormat } from '../../../parent/cli/supervise/state-folder.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { startTestCore } from '../core/test-core.ts';

const FIXED_CLOCK = { nowMs: () => Date.UTC(2026, 5, 1), monotonicMs: () => 0 };

/** Runs all checks and returns the names of those that ran, the failed one last. */
async function examine(findings: Findings): Promise<{ ran: string[]; error: unknown }> {
  const ran: string[] = [];
  const error = await runChecks(CHECKS, findings, (line) => ran.push(line.replace(/:.*/, ''))).then(
    () => undefined,
    (error: unknown) => error,
  );
  return { ran, error };
}

async function ownFolder(t: Teardown): Promise<string> {
  const dir = join(tempDir(t), 'state');
  await createStateFolder(dir);
  await writeFormat(dir);
  return dir;
}

async function listen(t: Teardown, server: Server, target: string | number): Promise<number> {
  await new Promise<void>((resolve) => {
    if (typeof target === 'string') server.listen(target, resolve);
    else server.listen(target, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.close();
  });
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}

/** A node file whose three ports accept connections; nobody serves behind them. */
async function listeningNode(t: Teardown, dir: string): Promise<NodeFile> {
  const silent = () => createServer((socket) => socket.destroy());
  const [client, http, ops] = [
    await listen(t, silent(), 0),
    await listen(
      t,
      createHttpServer((_, response) => response.writeHead(404).end()),
      0,
    ),
    await listen(t, silent(), 0),
  ];
  return {
    pid: process.pid,
    clientUrl: `http://127.0.0.1:${client}`,
    publicUrl: `http://127.0.0.1:${http}/kms/PUB`,
    opsUrl: `http://127.0.0.1:${ops}`,
    params: 'test',
    engineSocket: join(dir, 'engine.sock'),
    startedAt: '2026-01-02T00:00:00.000Z',
    version: '0.1.0',
    developerMode: true,
    authorizationPolicy: 'operator-trusted',
    address: '0x6370eF2f4Db3611D657b90667De398a2Cc2a370C',
    network: 'dev:test',
    release: 'test',
  };
}

t.test('a foreign folder is the first fault, and nothing behind it is looked at', async (t) => {
  const dir = t.testdir({ 'thesis.doc': 'x' });
  const { ran, error } = await examine(newFindings(dir));
  t.match(error, { code: 'STATE_INVALID', facts: { cure: String } });
  t.same(ran, ['✓ node version', '✓ native library', '✗ folder']);
});

t.test('a folder that is held by a process without a ready node is a fault of the lock', async (t) => {
  const dir = await ownFolder(t);
  const lock = acquireFolderLock(dir);
  t.teardown(() => lock.release());
  const { ran, error } = await examine(newFindings(dir));
  t.match(error, { code: 'UNAVAILABLE', message: /holds the folder, but its node is not ready/ });
  t.equal(ran.at(-1), '✗ lock');
});

t.test('a party that its quorum took down is down, and nobody is told to wait for it', async (t) => {
  const dir = await ownFolder(t);
  const lock = acquireFolderLock(dir);
  await markDown(dir);
  const down = await examine(newFindings(dir));
  t.match(down.error, { code: 'UNAVAILABLE', message: /is down: its quorum/, facts: { cure: /without --kill-party/ } });
  t.equal(down.ran.at(-1), '✗ lock');
  await clearDownMark(dir);
  t.match((await examine(newFindings(dir))).error, { facts: { cure: /wait until it is ready/ } }, 'it is started');
  await markDown(dir);
  lock.release();
  const left = CHECKS.filter(({ name }) => name === 'lock');
  t.match(await runChecks(left, newFindings(dir), () => {}), [{ detail: /no node runs/ }], 'a mark left behind');
});

t.test('with a node that runs, dead parts are named in the order in which they depend on each other', async (t) => {
  const dir = await ownFolder(t);
  const lock = acquireFolderLock(dir);
  t.teardown(() => lock.release());
  const node = await listeningNode(t, dir);

  await writeNodeFile(dir, { ...node, clientUrl: 'http://127.0.0.1:1' });
  const ports = await examine(newFindings(dir));
  t.equal(ports.ran.at(-1), '✗ ports');
  t.match(ports.error, { message: /nothing listens on 127.0.0.1:1/ });

  await writeNodeFile(dir, node);
  const engine = await examine(newFindings(dir));
  t.equal(engine.ran.at(-1), '✗ engine');
  t.match(engine.error, { message: /the engine does not answer/, facts: { cure: /node.log/ } });

  await listen(t, createServer(), node.engineSocket);
  const core = await examine(newFindings(dir));
  t.equal(core.ran.at(-1), '✗ core');
  t.match(core.error, { message: /the core does not answer/ });

  const rest = CHECKS.filter(({ name }) => name === 'public material');
  const material = { ...newFindings(dir), node };
  await t.rejects(
    runChecks(rest, material, () => {}),
    { code: 'NOT_FOUND' },
  );
});

t.test('a node with TLS is asked over its admin socket, whoever signed its certificate', async (t) => {
  const checks = CHECKS.filter(({ name }) => name === 'core');
  const dir = await ownFolder(t);
  const adminSocket = join(dir, 'run', 'admin.sock');
  await startTestCore(t, { insecure: false, access: { adminSocketPath: adminSocket } });
  const node = { ...(await listeningNode(t, dir)), clientUrl: 'https://127.0.0.1:1', adminSocket };
  t.match(await runChecks(checks, { ...newFindings(dir), node }, () => {}), [{ detail: /serves on https/ }]);
});

t.test('a clock in the past is a fault', async (t) => {
  const checks = CHECKS.filter(({ name }) => name === 'clock');
  const now = (nowMs: number) => newFindings(tempDir(t), { ...FIXED_CLOCK, nowMs: () => nowMs });
  t.match(await runChecks(checks, now(Date.UTC(2026, 5, 1)), () => {}), [{ detail: '2026-06-01T00:00:00.000Z' }]);
  await t.rejects(
    runChecks(checks, now(0), () => {}),
    { code: 'STATE_INVALID', message: /1970-01-01T00:00:00.000Z/ },
  );
  const dir = await ownFolder(t);
  const node = { ...(await listeningNode(t, dir)), startedAt: '2026-06-02T00:00:00.000Z' };
  await t.rejects(
    runChecks(checks, { ...now(Date.UTC(2026, 5, 1)), node }, () => {}),
    { code: 'STATE_INVALID' },
    'earlier than the start of the node',
  );
});
