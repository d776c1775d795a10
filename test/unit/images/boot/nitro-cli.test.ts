/** Enclaves of a Nitro parent: what nitro-cli is called with, what is made of its answers, what a parent needs. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { nitroCliBackend } from '../../../../images/boot/nitro-cli.ts';
import { fakeEnclaves, fakeNitroCalls, writeFakeNitroCli, writeNitroParent } from '../../../helpers/fake-nitro-cli.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';

const START = { image: '/images/engine.eif', memoryMb: 1408, cpus: 2, cid: 17, debug: false, folder: '/nowhere' };
/** No vsock is used here. */
const vsockOf = (cid: number) => ({
  address: { cid },
  connect: () => Promise.reject(new Error('no vsock')),
  listen: () => Promise.reject(new Error('no vsock')),
});

function scene(t: Teardown) {
  const folder = tempDir(t);
  const program = writeFakeNitroCli(folder);
  const root = join(folder, 'root');
  t.teardown(() => {
    for (const { ProcessID } of fakeEnclaves(folder)) process.kill(ProcessID, 'SIGKILL');
  });
  return { folder, root, backend: nitroCliBackend({ program, root, pollMs: 20, vsockOf }) };
}

t.test('an enclave is started with exactly what was asked for, and never in debug mode by itself', async (t) => {
  const { folder, backend } = scene(t);
  let listening: unknown;
  const enclave = await backend.start({
    ...START,
    beforeBoot: async (vsock) => {
      listening = vsock;
      t.equal(fakeEnclaves(folder).length, 0, 'the parent listens before the enclave boots');
    },
  });
  t.match(enclave, { cid: 17, id: /^i-0123456789abcdef0-enc/ });
  t.equal(enclave.vsock, listening, 'one vsock before and after');
  const run = fakeNitroCalls(folder).find(([command]) => command === 'run-enclave');
  t.same(run, [
    ...['run-enclave', '--eif-path', '/images/engine.eif', '--memory', '1408', '--cpu-count', '2'],
    ...['--enclave-cid', '17', '--enclave-name', 'arca-17'],
  ]);
  await enclave.stop();
  t.same(fakeEnclaves(folder), [], 'it is gone');
  t.same(await enclave.ended, { reason: 'it was stopped' });
  await enclave.stop();
});

t.test('debug mode is passed on where it was asked for', async (t) => {
  const { folder, backend } = scene(t);
  const enclave = await backend.start({ ...START, debug: true });
  t.match(fakeEnclaves(folder), [{ Flags: 'DEBUG_MODE' }]);
  await enclave.stop();
});

t.test('an enclave that ends by itself is noticed', async (t) => {
  const { folder, backend } = scene(t);
  const enclave = await backend.start(START);
  process.kill(fakeEnclaves(folder)[0]?.ProcessID ?? 0, 'SIGKILL');
  t.same(await enclave.ended, { reason: 'the hypervisor has ended it' });
  await enclave.stop();
});

t.test('what a killed launcher left is ended first, and nothing of another owner', async (t) => {
  const { folder, backend } = scene(t);
  const before = await backend.start(START);
  const other = await backend.start({ ...START, cid: 18 });
  const after = await backend.start(START);
  t.same(
    fakeEnclaves(folder)
      .map(({ EnclaveID }) => EnclaveID)
      .sort(),
    [other.id, after.id].sort(),
  );
  t.same(await before.ended, { reason: 'the hypervisor has ended it' });
  await Promise.all([other.stop(), after.stop()]);
});

t.test('an address that a foreign enclave has is refused', async (t) => {
  const { folder, backend } = scene(t);
  const foreign = { EnclaveName: 'theirs', EnclaveID: 'i-1-enc1', EnclaveCID: 17, ProcessID: process.pid };
  writeFileSync(join(folder, 'enclaves.json'), JSON.stringify([foreign]));
  await t.rejects(backend.start(START), { code: 'ALREADY_EXISTS', facts: { cid: 17 } });
  t.notMatch(fakeNitroCalls(folder).flat(), ['terminate-enclave'], 'it is left alone');
  writeFileSync(join(folder, 'enclaves.json'), '[]');
});

t.test('the error codes of nitro-cli come with a cure', async (t) => {
  const { folder, backend } = scene(t);
  const words = (code: string, text: string) =>
    `Start allocating memory...\n[ ${code} ] ${text}\n\nFor more details, please visit https://example/${code}\n`;
  writeFileSync(join(folder, 'fail-run-enclave'), words('E27', 'Insufficient memory available.'));
  await t.rejects(backend.start(START), {
    code: 'UNAVAILABLE',
    message: 'nitro-cli run-enclave failed: E27: Insufficient memory available.',
    facts: { cure: /memory_mib/ },
  });
  writeFileSync(join(folder, 'fail-run-enclave'), words('E36', 'Enclave boot failure.'));
  await t.rejects(backend.start(START), { message: /E36: Enclave boot failure/, facts: { cure: /expired/ } });
  writeFileSync(join(folder, 'fail-run-enclave'), 'x'.repeat(5000));
  const error = await backend.start(START).catch((thrown: unknown) => thrown);
  t.ok(error instanceof Error && error.message.length < 400, 'its words are cut');
});

t.test('answers that are none are refused', async (t) => {
  const folder = tempDir(t);
  const program = join(folder, 'nitro-cli');
  for (const answer of ['', 'not json', '{}', '[{"EnclaveID": 7}]']) {
    writeFileSync(program, `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 });
    await t.rejects(nitroCliBackend({ program, vsockOf }).start(START), { code: 'UNAVAILABLE' }, answer);
  }
  const absent = nitroCliBackend({ program: join(folder, 'absent'), vsockOf });
  await t.rejects(absent.start(START), { code: 'UNAVAILABLE', facts: { cure: 'install aws-nitro-enclaves-cli' } });
});

t.test('a parent that has all of it passes every check', async (t) => {
  const { root, backend } = scene(t);
  writeNitroParent(root);
  const findings = await backend.check(START);
  t.same(
    findings.filter(({ ok }) => !ok),
    [],
  );
  t.same(
    findings.map(({ name }) => name),
    ['device', 'nitro-cli', 'allocator', 'cpus', 'memory'],
  );
});

t.test('a machine without anything is told of everything, with a cure for each', async (t) => {
  const { folder, root } = scene(t);
  const findings = await nitroCliBackend({ program: join(folder, 'absent'), root, vsockOf }).check(START);
  t.equal(findings.length, 5);
  for (const { name, ok, cure } of findings) t.ok(!ok && cure !== undefined && cure !== '', name);
});

t.test('each shortage is named by its number', async (t) => {
  const { root, backend } = scene(t);
  const faultsOf = async (changes: Readonly<Record<string, string>>, need = START) => {
    writeNitroParent(root, changes);
    return (await backend.check(need)).filter(({ ok }) => !ok).map(({ name, found }) => `${name}: ${found}`);
  };
  t.match(await faultsOf({ 'etc/nitro_enclaves/allocator.yaml': '---\nmemory_mib: 512\ncpu_count: 2\n' }), [
    /^allocator: .* reserves 512 MB, the enclave needs 1408 MB$/,
  ]);
  t.match(await faultsOf({ 'sys/module/nitro_enclaves/parameters/ne_cpus': '\n' }), [/^cpus: no CPU is reserved/]);
  t.match(await faultsOf({ 'sys/module/nitro_enclaves/parameters/ne_cpus': '1,5-6' }, { ...START, cpus: 4 }), [
    /^cpus: 3 reserved for enclaves \(1,5-6\), 4 are needed$/,
  ]);
  t.match(await faultsOf({}, { ...START, cpus: 3 }), [/^cpus: 3 CPUs are no whole cores/]);
  // 1,024 + 384 MB on one node are enough, 600 MB more on another do not help.
  t.same(await faultsOf({}, { ...START, memoryMb: 1408 }), []);
  const pages = 'sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages';
  t.match(await faultsOf({ [pages]: '191\n' }), [/^memory: 1406 MB of huge pages are free on one memory node, 1408/]);
});

t.test('memory that a leftover holds counts as free', async (t) => {
  const { root, backend } = scene(t);
  const left = await backend.start(START);
  const pages = { 'sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages': '0\n' };
  writeNitroParent(root, pages);
  const memory = (await backend.check(START)).find(({ name }) => name === 'memory');
  t.match(memory, { ok: true, found: /1408 MB are held by an enclave that the start ends/ });
  t.match(
    (await backend.check({ ...START, cid: 18 })).find(({ name }) => name === 'memory'),
    { ok: false },
    'not that of another',
  );
  await left.stop();
});
