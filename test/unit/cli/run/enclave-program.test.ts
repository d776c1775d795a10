/** One start of an enclave under the supervisor: doors and proxy before it boots, its last words after, nothing left behind. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { PARENT_PORT } from '../../../../common/enclave-boot.ts';
import { KmsError } from '../../../../common/errors.ts';
import type { EnclaveBackend, EnclaveStart } from '../../../../images/boot/backend.ts';
import { enclaveProgram } from '../../../../parent/cli/run/enclave-program.ts';
import type { ProxyTable } from '../../../../parent/cli/run/proxy-routes.ts';
import { type SupervisorEvent, supervise } from '../../../../parent/cli/supervise/supervisor.ts';
import { parentVsock } from '../../../../vsock-proxy/parent-vsock.ts';
import { present } from '../../../helpers/present.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';

const QUICK = { firstMs: 5, maxMs: 20, goodRunMs: 60_000 };
const READY = '{"level":"info","name":"engine","event":"engine.ready","address":"0x1"}\n';

/** An enclave that says `words` on its log port and goes on until it is ended. */
function played(words: (start: number) => string) {
  const starts: EnclaveStart[] = [];
  const end: ((reason: string) => void)[] = [];
  const backend: EnclaveBackend = {
    name: 'nitro-cli',
    check: async () => [],
    start: async (start) => {
      const vsock = parentVsock({ path: join(start.folder, 'vm') });
      await start.beforeBoot?.(vsock);
      starts.push(start);
      const { promise: ended, resolve } = Promise.withResolvers<{ reason: string }>();
      end.push((reason) => resolve({ reason }));
      const logs = connect(`${join(start.folder, 'vm')}_${PARENT_PORT.logs}`);
      await once(logs, 'connect');
      logs.end(words(starts.length));
      return { id: `i-${starts.length}`, cid: 16, vsock, ended, stop: async () => resolve({ reason: 'stopped' }) };
    },
  };
  return { backend, starts, end };
}

function scene(t: Teardown, backend: EnclaveBackend, allow: () => readonly string[] = () => ['a.example:443']) {
  const folder = join(tempDir(t), 'enclave');
  const proxyLines: string[] = [];
  const program = enclaveProgram({
    backend,
    folder,
    image: '/images/engine.eif',
    memoryMb: 1408,
    cpus: 2,
    cid: 16,
    debug: false,
    document: async () => ({ node: '', charter: Uint8Array.of(1) }),
    routes: async (vsock): Promise<ProxyTable> => ({
      vsock,
      telemetry: { log_level: 'info' },
      route: [{ name: 'egress', from: 'vsock:7002', to: 'connect', allow: allow() }],
    }),
    onProxyLine: (line) => proxyLines.push(line),
    followMs: 20,
  });
  const events: SupervisorEvent[] = [];
  const supervisor = supervise([program], { backOff: QUICK, onEvent: (event) => events.push(event) });
  t.teardown(() => supervisor.stop());
  return { folder, events, supervisor, proxyLines };
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 10));
}

t.test('an enclave that ends is started again, and its last words are the reason', async (t) => {
  const last = '{"name":"init","event":"init.exit","reason":"out of memory: needs 1408 MB","status":9}\n';
  const { backend, starts, end } = played((start) => `${READY}${start === 1 ? last : ''}`);
  const { folder, events, supervisor } = scene(t, backend);
  await supervisor.ready;
  t.match(starts, [{ image: '/images/engine.eif', memoryMb: 1408, cpus: 2, cid: 16, debug: false, folder }]);
  t.same(supervisor.pids(), {}, 'it is no process');
  end[0]?.('the hypervisor has ended it');
  await until(() => events.filter(({ kind }) => kind === 'ready').length === 2);
  end[1]?.('the hypervisor has ended it');
  await until(() => events.filter(({ kind }) => kind === 'ready').length === 3);
  t.match(
    events.filter(({ kind }) => kind === 'crashed'),
    [
      { exit: { code: 9, reason: 'out of memory: needs 1408 MB' }, retryInMs: 5 },
      { exit: { reason: 'no last words were heard: the hypervisor has ended it' }, retryInMs: 10 },
    ],
  );
  await supervisor.stop();
  t.notOk(existsSync(folder), 'nothing is left of it');
});

t.test('an enclave that never comes up fails the start with its own words', async (t) => {
  const { backend, end } = played(() => '{"level":"fatal","event":"engine.failed","msg":"no such bucket"}\n');
  const { events, supervisor } = scene(t, backend);
  await until(() => events.some((event) => event.kind === 'line' && event.line.includes('engine.failed')));
  end[0]?.('gone');
  await t.rejects(supervisor.ready, {
    code: 'UNAVAILABLE',
    message: 'the enclave did not start: no last words were heard: gone',
    cause: { message: /no such bucket/ },
  });
});

t.test('what the hypervisor refuses is told with its cure', async (t) => {
  const backend: EnclaveBackend = {
    name: 'nitro-cli',
    check: async () => [],
    start: () => Promise.reject(new KmsError('UNAVAILABLE', 'E27: too little memory', { cure: 'raise memory_mib' })),
  };
  const { supervisor } = scene(t, backend);
  await t.rejects(supervisor.ready, { message: /E27/, cause: { message: /raise memory_mib/ } });
});

t.test('an enclave that cannot be ended does not hold the launcher up', async (t) => {
  const { backend } = played(() => READY);
  const stubborn: EnclaveBackend = {
    ...backend,
    start: async (start) => ({
      ...(await backend.start(start)),
      stop: () => Promise.reject(new KmsError('UNAVAILABLE', 'nitro-cli is gone')),
    }),
  };
  const { events, supervisor } = scene(t, stubborn);
  await supervisor.ready;
  await supervisor.stop();
  t.ok(events.some((event) => event.kind === 'line' && event.line.includes('nitro-cli is gone')));
});

t.test('what comes from another CID is counted for the operator, the last count included', async (t) => {
  const { backend, starts } = played(() => READY);
  const { events, supervisor } = scene(t, backend);
  await supervisor.ready;
  for (let scan = 0; scan < 3; scan++) present(starts[0]).onForeign?.(99, PARENT_PORT.boot);
  await supervisor.stop();
  const lines = events.flatMap((event) => (event.kind === 'line' ? [JSON.parse(event.line)] : []));
  const dropped = lines.filter(({ event }) => event === 'launcher.dropped');
  t.match(dropped, [
    { level: 'warn', port: 7001, why: 'foreign', count: 1 },
    { level: 'warn', port: 7001, why: 'foreign', count: 2 },
    { level: 'warn', port: 7001, why: 'foreign', count: 3 },
  ]);
});

t.test('vsock-proxy follows changed routes, and is started again when it ends', async (t) => {
  let allowed = ['a.example:443'];
  const { backend } = played(() => READY);
  const { events, supervisor, proxyLines } = scene(t, backend, () => allowed);
  await supervisor.ready;
  allowed = ['a.example:443', 'b.example:443'];
  await until(() => proxyLines.some((line) => line.includes('proxy.reloaded')));
  const pid = proxyLines.map((line) => Number(JSON.parse(line).pid)).find((number) => number > 0);
  process.kill(present(pid), 'SIGKILL');
  await until(() => proxyLines.filter((line) => line.includes('proxy.ready')).length === 2);
  t.ok(events.some((event) => event.kind === 'line' && event.line.includes('vsock-proxy ended (SIGKILL)')));
  t.equal(events.filter(({ kind }) => kind === 'crashed').length, 0, 'the enclave goes on');
});
