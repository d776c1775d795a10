/** The engine as a process: configuration, readiness, the supervisor's pipe, signals, and what production refuses. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { EngineTestLink } from '../../helpers/engine-link.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { describe, keyGenCall } from '../../helpers/test-engine.ts';

const DEVELOPER = fileURLToPath(new URL('../../../enclave/main-dev.ts', import.meta.url));
const PRODUCTION = fileURLToPath(new URL('../../../enclave/main.ts', import.meta.url));

interface EngineProcess {
  readonly child: ChildProcess;
  readonly exit: Promise<{ code: number | null; stderr: string }>;
  /** Resolves with the log line of this event; rejects if the process ends before. */
  event(name: string): Promise<Record<string, unknown>>;
}

function configFile(folder: string, developerMode = true, more = ''): string {
  const file = join(folder, 'node.toml');
  writeFileSync(
    file,
    `developer_mode = ${developerMode}
${more}
[engine]
socket_path = "${join(folder, 'run', 'engine.sock')}"
[public_vault.storage.file]
path = "${join(folder, 'public')}"
[private_vault.storage.file]
path = "${join(folder, 'private')}"
[state]
path = "${join(folder, 'core.sqlite')}"
`,
  );
  return file;
}

function start(t: Teardown, program: string, args: readonly string[], supervised = true): EngineProcess {
  const stdio = supervised ? (['ignore', 'pipe', 'pipe', 'pipe'] as const) : (['ignore', 'pipe', 'pipe'] as const);
  const child = spawn(process.execPath, [program, ...args], { stdio: [...stdio] });
  const lines: Record<string, unknown>[] = [];
  const waiting: (() => void)[] = [];
  let stderr = '';
  let ended = false;
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  if (child.stdout) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(JSON.parse(line));
      for (const wake of waiting.splice(0)) wake();
    });
  }
  const exit = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.on('close', (code) => {
      ended = true;
      for (const wake of waiting.splice(0)) wake();
      resolve({ code, stderr });
    });
  });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  const event = async (name: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const found = lines.find((line) => line.event === name);
      if (found) return found;
      if (ended) throw new Error(`the engine ended before ${name}: ${stderr}`);
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  return { child, exit, event };
}

t.test('it says when it is ready, serves, and stops on SIGTERM', async (t) => {
  const folder = tempDir(t);
  const engine = start(t, DEVELOPER, ['--config', configFile(folder)]);
  const ready = await engine.event('engine.ready');
  t.type(ready.startMs, 'number');
  t.match(ready, { developerMode: true, keychain: 'clear', authorizationPolicy: 'operator-trusted', keys: 0, crs: 0 });
  const socketPath = join(folder, 'run', 'engine.sock');
  const link = await EngineTestLink.open(socketPath);
  const before = await describe(link);
  await link.call(ENGINE_METHOD.keyGen, keyGenCall());
  const { code, stderr } = await start(t, DEVELOPER, ['--config', configFile(folder)]).exit;
  t.equal(code, 1, 'a second engine on the same socket is refused');
  t.match(stderr, /another engine listens/);
  engine.child.kill('SIGTERM');
  t.equal((await engine.exit).code, 0);
  t.equal(await link.closed, undefined);
  t.notOk(existsSync(socketPath), 'its socket is gone');

  const again = start(t, DEVELOPER, ['--config', configFile(folder)], false);
  t.match(await again.event('engine.ready'), { keys: 1 }, 'started by hand, it needs no supervisor');
  const other = await EngineTestLink.open(socketPath);
  t.same((await describe(other)).address, before.address);
  other.close();
  again.child.kill('SIGINT');
  t.equal((await again.exit).code, 0);
});

t.test('it ends when the supervisor is gone', async (t) => {
  const folder = tempDir(t);
  const engine = start(t, DEVELOPER, ['--config', configFile(folder)]);
  await engine.event('engine.ready');
  const pipe = engine.child.stdio[3];
  if (pipe && 'destroy' in pipe) pipe.destroy();
  t.equal((await engine.exit).code, 0);
});

t.test('it ends within two seconds although a generation goes on', async (t) => {
  const folder = tempDir(t);
  const engine = start(t, DEVELOPER, ['--config', configFile(folder)]);
  await engine.event('engine.ready');
  const link = await EngineTestLink.open(join(folder, 'run', 'engine.sock'));
  const began = Promise.withResolvers<void>();
  const call = link.call(ENGINE_METHOD.keyGen, keyGenCall(), {
    // Never stored, so the generation never ends by itself.
    onObject: () => {
      began.resolve();
      return new Promise(() => undefined);
    },
  });
  await began.promise;
  engine.child.kill('SIGTERM');
  await t.rejects(call, { code: 'UNAVAILABLE' });
  const startedMs = performance.now();
  await engine.exit;
  t.ok(performance.now() - startedMs < 2_500);
});

t.test('wrong arguments and faults in the configuration are told', async (t) => {
  const folder = tempDir(t);
  for (const [args, wanted] of [
    [[], /--config FILE/],
    [['--config', configFile(folder, true, 'developr_mode = true')], /developr_mode/],
  ] as const) {
    const { code, stderr } = await start(t, DEVELOPER, args).exit;
    t.equal(code, 2, String(wanted));
    t.match(stderr, wanted);
  }
});

t.test('each program takes its own mode only, and production has no clear keychain', async (t) => {
  const folder = tempDir(t);
  for (const [program, developerMode, wanted, status] of [
    [DEVELOPER, false, /not for developer_mode = false: use `arca node`/, 2],
    [PRODUCTION, true, /not for developer_mode = true: use `arca dev`/, 2],
    [PRODUCTION, false, /AWS KMS keychain, which this release does not have/, 1],
  ] as const) {
    const { code, stderr } = await start(t, program, ['--config', configFile(folder, developerMode)]).exit;
    t.equal(code, status, String(wanted));
    t.match(stderr, wanted);
  }
  t.notOk(existsSync(join(folder, 'private')), 'nothing was written');
});
