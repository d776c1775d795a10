/**
 * The contract of storages on files, and what files alone can get wrong: links, permissions, full disks, memory.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type FileOps, nodeFileOps } from '../../../storage/file-ops.ts';
import { openFileStorage } from '../../../storage/file-storage.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { bytes, chunks, contractTests, PATH, readAll } from './contract.ts';

const open = (root: string, fs: FileOps = nodeFileOps, folderMode = 0o700) =>
  openFileStorage({ root, prefix: 'PRIV', folderMode }, { fs });

/** Of a file system that fails from the start on, and not once the vault is open. */
const AT_ONCE: readonly string[] = [];

t.test('contract', async (t) => contractTests(t, (t) => open(tempDir(t))));

t.test('objects lie at the published paths and outlive the process', async (t) => {
  const root = tempDir(t);
  await (await open(root)).put(['FhePrivateKey', 'epoch', 'id'], bytes('hello'));
  t.ok(existsSync(join(root, 'PRIV/FhePrivateKey/epoch/id')));
  t.same(await (await open(root)).get(['FhePrivateKey', 'epoch', 'id']), bytes('hello'));
});

t.test('a private vault is closed to other users, also where it was open before', async (t) => {
  const root = tempDir(t);
  mkdirSync(join(root, 'PRIV'), { mode: 0o755 });
  const storage = await open(root);
  await storage.put(['A', 'b', 'c'], bytes('1'));
  for (const folder of ['PRIV', 'PRIV/.tmp', 'PRIV/A', 'PRIV/A/b']) {
    t.equal(statSync(join(root, folder)).mode & 0o777, 0o700, folder);
  }
  t.equal(statSync(join(root, 'PRIV/A/b/c')).mode & 0o777, 0o600);
});

t.test('a public vault may be read by other users', async (t) => {
  const root = tempDir(t);
  const storage = await open(root, nodeFileOps, 0o755);
  await storage.put(PATH, bytes('1'));
  t.equal(statSync(join(root, 'PRIV/PublicKey')).mode & 0o755 & ~process.umask(), 0o755 & ~process.umask());
  t.equal(statSync(join(root, 'PRIV/PublicKey/aa')).mode & 0o777, 0o644 & ~process.umask());
});

t.test('symbolic links below the root are refused, not followed', async (t) => {
  const root = tempDir(t);
  const outside = tempDir(t);
  writeFileSync(join(outside, 'aa'), 'secret');
  const storage = await open(root);
  await storage.put(['Real', 'x'], bytes('1'));
  symlinkSync(outside, join(root, 'PRIV/PublicKey'));
  symlinkSync(join(outside, 'aa'), join(root, 'PRIV/Real/link'));
  symlinkSync(join(outside, 'new'), join(root, 'PRIV/Real/dangling'));
  for (const path of [PATH, ['Real', 'link'], ['Real', 'dangling']]) {
    const why = path.join('/');
    await t.rejects(storage.get(path), { code: 'STATE_INVALID' }, `get ${why}`);
    await t.rejects(storage.open(path), { code: 'STATE_INVALID' }, `open ${why}`);
    await t.rejects(storage.put(path, bytes('x')), { code: 'STATE_INVALID' }, `put ${why}`);
    await t.rejects(storage.put(path, bytes('x'), { replace: true }), { code: 'STATE_INVALID' }, `replace ${why}`);
    await t.rejects(storage.delete(path), { code: 'STATE_INVALID' }, `delete ${why}`);
  }
  t.same(await storage.list([]), ['Real'], 'links are not listed');
  t.same(await storage.list(['Real']), ['x']);
  t.same(readdirSync(outside), ['aa'], 'nothing was written outside');
});

t.test('a prefix that is a link, or no plain name, is refused', async (t) => {
  const root = tempDir(t);
  symlinkSync(tempDir(t), join(root, 'PRIV'));
  await t.rejects(open(root), { code: 'STATE_INVALID' });
  for (const prefix of ['..', '', 'a/b', '/tmp']) {
    await t.rejects(
      openFileStorage({ root, prefix, folderMode: 0o700 }),
      { code: 'REQUEST_INVALID' },
      JSON.stringify(prefix),
    );
  }
});

t.test('a root that cannot be made is refused', async (t) => {
  const root = tempDir(t);
  writeFileSync(join(root, 'file'), '');
  await t.rejects(open(join(root, 'file')), { code: 'STATE_INVALID' });
  await t.rejects(open(join(root, 'no/such/parent')), { code: 'INTERNAL', facts: { cause: 'ENOENT' } });
});

t.test('what a crash left half written is removed at the next start, and never seen', async (t) => {
  const root = tempDir(t);
  await open(root);
  writeFileSync(join(root, 'PRIV/.tmp/0123'), 'half');
  const storage = await open(root);
  t.same(readdirSync(join(root, 'PRIV/.tmp')), []);
  t.same(await storage.list([]), []);
});

t.test('a full disk fails the write by name, frees what was written, and keeps the rest', async (t) => {
  for (const call of ['open', 'write', 'sync', 'link', 'mkdir'] as const) {
    const root = tempDir(t);
    await (await open(root)).put(['CRS', 'old'], bytes('old'));
    const storage = await open(root, failing(call, 'ENOSPC', PATH));
    await t.rejects(storage.put(PATH, chunks(bytes('x'), bytes('y'))), { code: 'STORAGE_FULL' }, call);
    t.same(readdirSync(join(root, 'PRIV/.tmp')), [], `${call}: the temporary file is gone`);
    t.equal(await storage.has(PATH), false, call);
    t.same(await storage.get(['CRS', 'old']), bytes('old'), `${call}: earlier objects are intact`);
    t.equal(await (await open(root)).put(PATH, bytes('x')), 'stored', `${call}: works again once there is room`);
  }
});

t.test('a vault that is full, read-only or of another user is refused when it is opened', async (t) => {
  const cases = [
    ['open', 'EROFS', 'STATE_INVALID'],
    ['open', 'EACCES', 'STATE_INVALID'],
    ['open', 'ENOSPC', 'STORAGE_FULL'],
    ['write', 'ENOSPC', 'STORAGE_FULL'],
    ['sync', 'EDQUOT', 'STORAGE_FULL'],
  ] as const;
  for (const [call, system, code] of cases) {
    const root = tempDir(t);
    await (await open(root)).put(PATH, bytes('kept'));
    const refused = open(root, failing(call, system, AT_ONCE));
    await t.rejects(refused, { code, facts: { vault: 'PRIV', cause: system } }, `${call}: ${system}`);
    t.same(await (await open(root)).get(PATH), bytes('kept'), 'and it is as it was');
    t.same(readdirSync(join(root, 'PRIV/.tmp')), []);
  }
});

t.test('every other failure of the file system is ours too, and quotes no path', async (t) => {
  const codes = [
    ['EDQUOT', 'STORAGE_FULL'],
    ['EACCES', 'STATE_INVALID'],
    ['EROFS', 'STATE_INVALID'],
    ['EIO', 'INTERNAL'],
  ] as const;
  for (const [system, code] of codes) {
    const root = tempDir(t);
    const storage = await open(root, failing('write', system, PATH));
    await t.rejects(storage.put(PATH, bytes('x')), { code, facts: { type: 'PublicKey', cause: system } }, system);
    const error: unknown = await storage.put(PATH, bytes('x')).catch((e: unknown) => e);
    t.notMatch(error instanceof Error ? error.message : '', root, system);
  }
});

t.test('a file that was cut behind our back is told, not passed on', async (t) => {
  const root = tempDir(t);
  const storage = await open(root);
  await storage.put(PATH, bytes('hello'));
  const opened = await storage.open(PATH);
  writeFileSync(join(root, 'PRIV/PublicKey/aa'), 'hel');
  await t.rejects(readAll(opened.stream), { code: 'ABORTED' });
});

t.test('an object of 128 MiB passes through without being held', async (t) => {
  const root = tempDir(t);
  const storage = await open(root);
  const megabyte = new Uint8Array(1024 * 1024).fill(7);
  const source = async function* () {
    for (let i = 0; i < 128; i++) yield megabyte;
  };
  const before = process.memoryUsage.rss();
  let peak = before;
  const watch = () => {
    peak = Math.max(peak, process.memoryUsage.rss());
  };
  await storage.put(PATH, watched(source(), watch));
  t.equal(await storage.put(PATH, watched(source(), watch)), 'already');
  const { sizeBytes, stream } = await storage.open(PATH);
  let read = 0;
  for await (const chunk of watched(stream, watch)) read += chunk.byteLength;
  t.equal(sizeBytes, 128 * megabyte.byteLength);
  t.equal(read, sizeBytes);
  t.ok(peak - before < 96 * megabyte.byteLength, `grew by ${Math.round((peak - before) / 2 ** 20)} MiB`);
});

t.test('an opened stream that is never walked, or left early, holds no file open', async (t) => {
  // Only Linux tells open files; elsewhere the test sees none at all.
  const openFiles = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);
  const storage = await open(tempDir(t));
  await storage.put(PATH, new Uint8Array(2_000_000));
  const before = openFiles();
  for (let i = 0; i < 20; i++) {
    const { stream } = await storage.open(PATH);
    if (i % 2 === 0) for await (const _ of stream) break;
  }
  t.ok(openFiles() <= before, `${openFiles()} open files, ${before} before`);
});

t.test('a temporary file gets its name by a link, so it cannot overwrite', async (t) => {
  const root = tempDir(t);
  const storage = await open(root);
  await storage.put(PATH, bytes('hello'));
  t.equal(lstatSync(join(root, 'PRIV/PublicKey/aa')).nlink, 1, 'and its temporary name is gone');
});

async function* watched(source: AsyncIterable<Uint8Array>, watch: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    watch();
    yield chunk;
  }
}

/** File operations of which one fails, for the temporary file and for the folder of the given path. */
function failing(call: 'open' | 'write' | 'sync' | 'link' | 'mkdir', code: string, path: readonly string[]): FileOps {
  const fail = () => Promise.reject(Object.assign(new Error(`${code}: no good, '/private/path'`), { code }));
  const isTemp = (file: string) => (path === AT_ONCE ? /\.tmp\/./ : /\.tmp\/(?!probe$)./).test(file);
  return {
    ...nodeFileOps,
    async open(file, flags, mode) {
      if (call === 'open' && isTemp(file)) return await fail();
      const real = await nodeFileOps.open(file, flags, mode);
      return {
        read: (...args) => real.read(...args),
        write: (...args) => (call === 'write' && isTemp(file) ? fail() : real.write(...args)),
        stat: () => real.stat(),
        sync: () => (call === 'sync' && isTemp(file) ? fail() : real.sync()),
        close: () => real.close(),
      };
    },
    link: (from, to) => (call === 'link' ? fail() : nodeFileOps.link(from, to)),
    mkdir: (folder, mode) =>
      call === 'mkdir' && folder.endsWith(path[0] ?? '') ? fail() : nodeFileOps.mkdir(folder, mode),
  };
}
