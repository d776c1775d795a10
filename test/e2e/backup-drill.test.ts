/**
 * `arca backup drill` on a node of `arca dev --aws`: a second engine restores a copy of the backup and opens everything in it
 * again, while the node serves; what is wrong with the backup, or with what the keys say of public objects, fails it by name.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { filesBelow } from '../../enclave/backup/storage-below.ts';
import { EMULATED, readAwsFile } from '../../parent/cli/supervise/aws/aws-file.ts';
import { acquireFolderLock } from '../../parent/cli/supervise/folder-lock.ts';
import { openS3Storage, type S3Storage } from '../../storage/s3/s3-storage.ts';
import type { ObjectPath } from '../../storage/storage.ts';
import { runArca } from '../helpers/cli-script.ts';
import { present } from '../helpers/present.ts';
import { startParty } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const dir = tempDir(t);
const node = await startParty(t, { dir, aws: true });
const { keyId } = await node.generateKey();
const drillFolder = join(dir, 'drill');
const [backup, published] = [await bucket('kms-backup', 'BACKUP'), await bucket('kms', 'PUB')];

/** One folder of a bucket, with the rights of the node. */
async function bucket(name: string, prefix: string): Promise<S3Storage> {
  const { parties, ports } = present(await readAwsFile(dir));
  const access = present(parties[0]).access;
  const storage = await openS3Storage({
    bucket: name,
    prefix,
    region: EMULATED.region,
    credentials: async () => ({ ...access }),
    developer: { endpoint: `http://127.0.0.1:${present(ports).s3}` },
  });
  t.teardown(() => storage.close());
  return storage;
}

async function arca(...args: readonly string[]) {
  const { code, stdout, stderr } = await runArca([...args, '--dir', dir, '--json']);
  return { code, stderr, ...JSON.parse(stdout) };
}

const lastDrill = async () => (await arca('backup', 'status')).drill;

/** All that lies in the backup storage, with the state that it is in. */
async function tagsOf(storage: S3Storage): Promise<Readonly<Record<string, string>>> {
  const tags: Record<string, string> = {};
  for (const folder of await storage.list([])) {
    for await (const path of filesBelow(storage, [folder])) {
      tags[path.join('/')] = (await storage.getTagged(path)).tag;
    }
  }
  return tags;
}

/** Puts other content in an object's place while `work` runs. */
async function spoilt(storage: S3Storage, path: ObjectPath, work: () => Promise<void>): Promise<void> {
  const content = await storage.get(path);
  const other = content.slice();
  other[other.length - 1] = (other[other.length - 1] ?? 0) ^ 1;
  await storage.put(path, other, { replace: true });
  try {
    await work();
  } finally {
    await storage.put(path, content, { replace: true });
  }
}

t.test('a drill restores and opens everything, and its result stays in the vault', async (t) => {
  t.equal(await lastDrill(), undefined);
  const before = await tagsOf(backup);
  const { stderr, ...drill } = await arca('backup', 'drill');
  t.match(drill, { code: 0, passed: true, tookMs: Number });
  t.ok(drill.objects >= 4 && drill.bytes > 10_000, 'the key is among it');
  t.match(stderr, /rehearse a restore/);
  t.match(stderr, /opened again: 1 keys, 0 epochs; compared: 2 public objects/);
  t.match(await lastDrill(), { passed: true, objects: drill.objects });
  const metrics = await (await fetch(`${node.node.opsUrl}/metrics`)).text();
  t.match(metrics, /^kms_backup_drill_passed 1$/m);
  t.notOk(existsSync(drillFolder), 'nothing of it stays');
  const written = Object.keys(await changed(before));
  t.same(
    written.filter((name) => !/\/(?:BackupDrill|Manifest)\//.test(name)),
    [],
    'the backup has got the record of the drill, and is as it was',
  );
});

/** What lies in the backup and did not, or not so. */
async function changed(before: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>> {
  return Object.fromEntries(Object.entries(await tagsOf(backup)).filter(([name, tag]) => before[name] !== tag));
}

t.test('one that is cut off cleans up and records nothing', async (t) => {
  const [before, recorded] = [await tagsOf(backup), await lastDrill()];
  const child = spawn(process.execPath, drillArguments(), { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = text(child.stderr);
  await untilCopying(child);
  child.kill('SIGINT');
  t.equal(await new Promise((resolve) => child.once('close', resolve)), 1);
  t.match(await said, /was cut off/);
  t.notOk(existsSync(drillFolder));
  t.same(await lastDrill(), recorded);
  t.same(await changed(before), {});
});

const drillArguments = (): readonly string[] => [
  join(import.meta.dirname, '../../parent/cli/main.ts'),
  ...['backup', 'drill', '--dir', dir],
];

/** The folder of the copy is there before the program that fills it. */
async function untilCopying(child: ChildProcess): Promise<void> {
  while (!existsSync(join(drillFolder, 'copy'))) {
    if (child.exitCode !== null) throw new Error(`it ended before it copied anything: ${child.exitCode}`);
    await delay(20);
  }
}

t.test('a second one at the same time is refused', async (t) => {
  mkdirSync(drillFolder);
  const lock = acquireFolderLock(drillFolder);
  try {
    t.match(await arca('backup', 'drill'), { code: 1, error: { code: 'PRECONDITION_FAILED' } });
  } finally {
    lock.release();
    rmSync(drillFolder, { recursive: true });
  }
});

t.test('an object of the backup that is damaged fails it by name, and the node serves on', async (t) => {
  const found = await pathOf(backup, 'FhePrivateKey');
  await spoilt(backup, found, async () => {
    const drill = await arca('backup', 'drill');
    t.match(drill, { code: 1, passed: false, failure: 'STATE_INVALID' });
    t.match(drill.stderr, new RegExp(`these objects cannot be restored: FhePrivateKey/\\S*${keyId}`));
    t.match(await lastDrill(), { passed: false, failure: 'STATE_INVALID' });
  });
  t.match(await arca('backup', 'drill'), { code: 0, passed: true });
});

t.test('a public object that is not the one the key was made with fails it by name', async (t) => {
  await spoilt(published, ['PublicKey', keyId], async () => {
    const drill = await arca('backup', 'drill');
    t.match(drill, { code: 1, passed: false, failure: 'STATE_INVALID' });
    t.match(drill.stderr, new RegExp(`PublicKey/${keyId} is not the one that was signed`));
  });
  t.match(await arca('backup', 'drill'), { code: 0, passed: true });
});

/** Where an object of a kind lies in the backup. */
async function pathOf(storage: S3Storage, type: string): Promise<ObjectPath> {
  for (const folder of await storage.list([])) {
    for await (const path of filesBelow(storage, [folder, type])) return path;
  }
  throw new Error(`the backup holds no ${type}`);
}
