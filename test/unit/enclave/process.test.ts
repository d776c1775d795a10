/** The engine as a process: configuration, readiness, the supervisor's pipe, signals, and what production refuses. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { serveNsm } from '../../../attestation/developer/nsm-link.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { EngineTestLink } from '../../helpers/engine-link.ts';
import type { TestAttester } from '../../helpers/software-nsm.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { describe, keyGenCall } from '../../helpers/test-engine.ts';
import { attestationToml, testTrust } from '../../helpers/test-trust.ts';

/** Starts the developer engine of a folder, attested. */
async function startAttested(t: Teardown, folder: string, supervised = true) {
  const trust = await testTrust(folder);
  const attester = await trust.attester({ role: 'engine' });
  const engine = start(t, DEVELOPER, ['--config', configFile(folder)], { attester, supervised });
  const mesh = await trust.coreMesh(t);
  const link = async () => {
    const { stream } = await mesh.dial(AbortSignal.timeout(60_000));
    return await EngineTestLink.open(stream);
  };
  return { ...engine, link };
}

const DEVELOPER = fileURLToPath(new URL('../../../enclave/main-dev.ts', import.meta.url));
const PRODUCTION = fileURLToPath(new URL('../../../enclave/main.ts', import.meta.url));
const TEST_IMAGE = fileURLToPath(new URL('../../../enclave/main-test-image.ts', import.meta.url));

interface EngineProcess {
  readonly child: ChildProcess;
  readonly exit: Promise<{ code: number | null; stderr: string }>;
  /** Resolves with the log line of this event; rejects if the process ends before. */
  event(name: string): Promise<Record<string, unknown>>;
}

function configFile(folder: string, developerMode = true, more = ''): string {
  const file = join(folder, 'node.toml');
  const attestation = attestationToml(folder);
  const sections = developerMode ? attestation : attestation.replaceAll(/^developer_.*$/gm, '');
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
${sections}`,
  );
  return file;
}

interface StartOptions {
  /** Serves the attester on descriptor 4; there is none if absent. */
  readonly attester?: TestAttester;
  readonly supervised?: boolean;
}

function start(
  t: Teardown,
  program: string,
  args: readonly string[],
  { attester, supervised = true }: StartOptions = {},
): EngineProcess {
  const stdio = ['ignore', 'pipe', 'pipe', supervised ? 'pipe' : 'ignore', attester ? 'pipe' : 'ignore'] as const;
  const child = spawn(process.execPath, [program, ...args], { stdio: [...stdio] });
  const device = child.stdio[4];
  if (attester && device instanceof Duplex) serveNsm(device, attester.device);
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
  const engine = await startAttested(t, folder);
  const ready = await engine.event('engine.ready');
  t.type(ready.startMs, 'number');
  t.match(ready, { developerMode: true, keychain: 'clear', authorizationPolicy: 'operator-trusted', keys: 0, crs: 0 });
  const socketPath = join(folder, 'run', 'engine.sock');
  const link = await engine.link();
  const before = await describe(link);
  await link.call(ENGINE_METHOD.keyGen, keyGenCall());
  const { code, stderr } = await (await startAttested(t, folder)).exit;
  t.equal(code, 1, 'a second engine on the same socket is refused');
  t.match(stderr, /another process listens/);
  engine.child.kill('SIGTERM');
  t.equal((await engine.exit).code, 0);
  t.equal(await link.closed, undefined);
  t.notOk(existsSync(socketPath), 'its socket is gone');

  const again = await startAttested(t, folder, false);
  t.match(await again.event('engine.ready'), { keys: 1, incarnation: 3 }, 'an attester is all that it needs');
  const other = await again.link();
  t.same((await describe(other)).address, before.address);
  other.close();
  again.child.kill('SIGINT');
  t.equal((await again.exit).code, 0);
});

t.test('without an attester it does not start', async (t) => {
  const folder = tempDir(t);
  await testTrust(folder);
  const { code, stderr } = await start(t, DEVELOPER, ['--config', configFile(folder)]).exit;
  t.equal(code, 1);
  t.match(stderr, /no developer attester on descriptor 4: start it with `arca dev`/);
  t.notOk(existsSync(join(folder, 'private/PRIV/SigningKey')), 'and reads and writes nothing secret');
});

t.test('it ends when the supervisor is gone', async (t) => {
  const folder = tempDir(t);
  const engine = await startAttested(t, folder);
  await engine.event('engine.ready');
  const pipe = engine.child.stdio[3];
  if (pipe && 'destroy' in pipe) pipe.destroy();
  t.equal((await engine.exit).code, 0);
});

t.test('it ends although a generation goes on', async (t) => {
  const folder = tempDir(t);
  const engine = await startAttested(t, folder);
  await engine.event('engine.ready');
  const link = await engine.link();
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
  t.equal((await engine.exit).code, 0, 'it does not wait for what never ends');
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

t.test('a program of developer mode takes its own mode only', async (t) => {
  const folder = tempDir(t);
  await testTrust(folder);
  const { code, stderr } = await start(t, DEVELOPER, ['--config', configFile(folder, false)]).exit;
  t.equal(code, 2);
  t.match(stderr, /not for developer_mode = false: use `arca node`/);
  t.notOk(existsSync(join(folder, 'private')), 'nothing was written');
});

t.test('production runs nowhere but in an enclave, and asks nobody anything there', async (t) => {
  const folder = tempDir(t);
  for (const program of [PRODUCTION, TEST_IMAGE]) {
    const { code, stderr } = await start(t, program, ['--config', configFile(folder, false)]).exit;
    t.equal(code, 2, program);
    t.match(stderr, /there is no NSM device at \/dev\/nsm: not in a Nitro enclave/, program);
  }
});
