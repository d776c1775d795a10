import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig } from '../../../common/config.ts';
import { NodeConfig } from '../../../common/node-config.ts';
import { acquireFolderLock, findLockHolder } from '../../../parent/cli/supervise/folder-lock.ts';
import { readNodeFile, writeNodeFile } from '../../../parent/cli/supervise/node-file.ts';
import { choosePorts } from '../../../parent/cli/supervise/ports.ts';
import { MAX_SOCKET_PATH_BYTES, prepareSocketPath } from '../../../parent/cli/supervise/socket-path.ts';
import {
  createStateFolder,
  entriesNamedBy,
  inspectStateFolder,
  requireUsableStateFolder,
  resetStateFolder,
  writeFormat,
} from '../../../parent/cli/supervise/state-folder.ts';

const OURS = '{"format":"arca-state","version":1}\n';

t.test('an absent, an empty and a just-begun folder can be used', async (t) => {
  const dir = t.testdir({ empty: {}, begun: { 'format.json.new': '{"for', 'lock.sqlite': '' } });
  t.same(await inspectStateFolder(join(dir, 'absent')), { kind: 'absent' });
  t.same(await requireUsableStateFolder(join(dir, 'empty')), { kind: 'empty' });
  t.same(await requireUsableStateFolder(join(dir, 'begun')), { kind: 'empty' });
});

t.test('what an operator put into the folder before the first start is no fault, what a node left is', async (t) => {
  const dir = t.testdir({ governance: {}, 'node.toml': '', 'record.cbor': '', 'engine.eif': '' });
  const config = parseConfig(NodeConfig, {
    text: `
[engine]
socket_path = "/run/arca/engine.sock"
[enclave]
image_path = "${dir}/engine.eif"
[attestation]
charter_path = "/etc/arca/charter.cbor"
record_path = "${dir}/record.cbor"
releases_path = "${dir}/governance/deep/releases.cbor"
[public_vault.storage.file]
path = "${dir}/public"
[private_vault.storage.file]
path = "${dir}/private"
[state]
path = "${dir}/core.sqlite"
`,
    env: {},
    name: 'node.toml',
  });
  const expected = entriesNamedBy(config, join(dir, 'node.toml'));
  t.same([...expected].sort(), ['engine.eif', 'governance', 'node.toml', 'record.cbor']);
  t.same(await requireUsableStateFolder(dir, expected), { kind: 'empty' });
  t.match(await inspectStateFolder(dir, entriesNamedBy(config, '/etc/arca/node.toml')), { kind: 'refused' });
  for (const name of ['core.sqlite', 'private']) {
    await mkdir(join(dir, name));
    await t.rejects(requireUsableStateFolder(dir, expected), {
      message: new RegExp(`half-written: it holds ${name} but`),
    });
    await rmdir(join(dir, name));
  }
  await writeFile(join(dir, 'thesis.doc'), 'x');
  await t.rejects(requireUsableStateFolder(dir, expected), { message: /not arca's \(thesis\.doc\)/ });
});

t.test('a folder that we made is recognized as ours', async (t) => {
  const dir = join(t.testdir(), 'deep', 'state');
  await createStateFolder(dir);
  await writeFormat(dir);
  t.same(await inspectStateFolder(dir), { kind: 'ours', version: 1 });
  t.equal((await stat(dir)).mode & 0o777, 0o700, 'nobody else may read it');
  t.equal(await readFile(join(dir, 'format.json'), 'utf8'), OURS);
});

t.test('unknown, half-written and newer folders are refused with a cure, and nothing in them changes', async (t) => {
  const cases = [
    ['unknown files', { 'thesis.doc': 'x' }, /files that are not arca's/],
    ['half-written', { private: { PRIV: {} }, 'core.sqlite': 'x' }, /half-written/],
    ['torn format', { 'format.json': '{"format":"arc' }, /half-written/],
    ['another format', { 'format.json': '{"format":"other","version":1}' }, /does not say that it is arca's/],
    ['no version', { 'format.json': '{"format":"arca-state"}' }, /does not say that it is arca's/],
    ['null', { 'format.json': 'null' }, /does not say that it is arca's/],
    ['newer', { 'format.json': '{"format":"arca-state","version":7}' }, /version 7, this program knows 1/],
  ] as const;
  for (const [why, content, message] of cases) {
    const dir = t.testdir(content);
    const before = await readdir(dir, { recursive: true });
    await t.rejects(requireUsableStateFolder(dir), { code: 'STATE_INVALID', message, facts: { cure: /--dir/ } }, why);
    t.same(await readdir(dir, { recursive: true }), before, `${why}: unchanged`);
  }
  const file = join(t.testdir({ file: 'x' }), 'file');
  await t.rejects(requireUsableStateFolder(file), { code: 'STATE_INVALID', message: /not a folder/ });
});

t.test('a reset removes state, keeps the format and the lock, and spares foreign files', async (t) => {
  const dir = t.testdir({
    'format.json': OURS,
    'lock.sqlite': '',
    'core.sqlite': 'x',
    'core.sqlite-wal': 'x',
    'public-digests.sqlite': 'x',
    'public-digests.sqlite-shm': 'x',
    private: { PRIV: { SigningKey: { a: 'x' } } },
    users: { 'default.key': 'x' },
    'notes.txt': 'mine',
  });
  await resetStateFolder(dir);
  t.same((await readdir(dir)).sort(), ['format.json', 'lock.sqlite', 'notes.txt']);
});

t.test('the second lock on a folder is refused and names the holder', async (t) => {
  const dir = t.testdir({});
  t.equal(findLockHolder(dir), undefined, 'nobody yet');
  const lock = acquireFolderLock(dir);
  t.throws(() => acquireFolderLock(dir), {
    code: 'PRECONDITION_FAILED',
    message: new RegExp(`in use by process ${process.pid}`),
    facts: { pid: process.pid },
  });
  t.equal(findLockHolder(dir), process.pid);
  lock.release();
  acquireFolderLock(dir).release();
});

t.test('a damaged lock is named, not taken', async (t) => {
  const dir = t.testdir({
    'lock.sqlite': 'not a database, but long enough to be looked at as one by SQLite'.repeat(20),
  });
  t.throws(() => acquireFolderLock(dir), { code: 'STATE_INVALID', message: /damaged/ });
});

t.test('the socket stands in the state folder when its path is short, else in a short private folder', async (t) => {
  const dir = t.testdir({ s: {}, runtime: {} });
  const base = join('/tmp', `arca-test-${process.pid}`);
  await mkdir(base, { mode: 0o700 });
  t.teardown(() => import('node:fs').then(({ rmSync }) => rmSync(base, { recursive: true })));
  t.equal(await prepareSocketPath(base), join(base, 'run', 'engine.sock'));

  const long = join(dir, 'x'.repeat(120));
  await mkdir(long);
  const runtime = join(base, 'runtime');
  await mkdir(runtime);
  const path = await prepareSocketPath(long, { XDG_RUNTIME_DIR: runtime });
  t.ok(path.startsWith(`${runtime}/arca-`), path);
  t.ok(Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES, 'short enough');
  t.equal((await stat(join(path, '..'))).mode & 0o777, 0o700);
  t.equal(await prepareSocketPath(long, { XDG_RUNTIME_DIR: runtime }), path, 'same folder, same path');

  await chmod(join(path, '..'), 0o755);
  await t.rejects(prepareSocketPath(long, { XDG_RUNTIME_DIR: runtime }), { code: 'STATE_INVALID', message: /0700/ });
  const other = join(base, 'other');
  await mkdir(other);
  await symlink(base, join(other, path.split('/').at(-2) ?? ''));
  await t.rejects(prepareSocketPath(long, { XDG_RUNTIME_DIR: other }), { code: 'STATE_INVALID' }, 'a link is refused');
});

t.test('a taken port is named with what it is for; 0 and fallback give free ones', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const want = { purpose: 'clients', option: '--port', address: '127.0.0.1', port };
  await t.rejects(choosePorts([want]), {
    code: 'PRECONDITION_FAILED',
    message: `port ${port} of 127.0.0.1 (clients) is taken by another process`,
    facts: { cure: /--port/ },
  });
  const chosen = await choosePorts([
    { ...want, fallback: true },
    { ...want, port: 0 },
  ]);
  t.equal(new Set([...chosen, port]).size, 3, 'three different ports');
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '32768');
  const system = Number.parseInt(range, 10);
  t.ok(
    system <= 16_384 || chosen.every((each) => each < system),
    'none that the system may give to somebody else before a child binds it',
  );
  for (const each of process.platform === 'linux' ? chosen : []) {
    const other = createServer().listen(`\0arca-port-${each}`);
    const [error] = await once(other, 'error');
    t.equal(error.code, 'EADDRINUSE', 'and none that another process of ours may choose');
  }
});

t.test('a node file of a dead process, a damaged one and none are told apart', async (t) => {
  const dir = t.testdir({});
  await t.rejects(readNodeFile(dir), { code: 'UNAVAILABLE', message: /no node runs/ });
  const node = {
    pid: process.pid,
    clientUrl: 'http://127.0.0.1:1',
    publicUrl: 'http://127.0.0.1:2/kms/PUB',
    opsUrl: 'http://127.0.0.1:3',
    params: 'test',
    engineSocket: '/x',
    startedAt: '2026-01-01T00:00:00.000Z',
    version: '0.1.0',
    developerMode: true,
    authorizationPolicy: 'operator-trusted',
    address: '0x6370eF2f4Db3611D657b90667De398a2Cc2a370C',
    network: 'dev:test',
    release: 'test',
  } as const;
  await writeNodeFile(dir, node);
  t.same(await readNodeFile(dir), node);
  await writeNodeFile(dir, { ...node, pid: 2 ** 22 + 1 });
  await t.rejects(readNodeFile(dir), { code: 'UNAVAILABLE', message: /is gone/ });
  await writeFile(join(dir, 'node.json'), '{');
  await t.rejects(readNodeFile(dir), { code: 'STATE_INVALID' });
});
