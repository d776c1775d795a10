/**
 * The S3 emulator as a program of its own, and the folder in which it keeps its buckets.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import t, { type Test } from 'tap';
import { readEmulatorConfig } from '../../../emulators/s3/config.ts';
import { startS3Emulator } from '../../../emulators/s3/server.ts';
import { openS3Storage } from '../../../storage/s3/s3-storage.ts';
import { present } from '../../helpers/present.ts';
import { KEYS } from '../../helpers/s3.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';

const MAIN = join(import.meta.dirname, '../../../emulators/s3/main.ts');
const READERS = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: 'arn:aws:s3:::vault/PUB/*' }],
};

function configure(t: Teardown, change: object = {}): string {
  const path = join(tempDir(t), 's3-emulator.json');
  const config = {
    region: 'eu-west-1',
    port: 0,
    state: 'buckets',
    credentials: [KEYS],
    buckets: [{ name: 'vault', policy: READERS }],
  };
  writeFileSync(path, JSON.stringify({ ...config, ...change }));
  return path;
}

/** Starts the program as a supervisor does: descriptor 3 is a pipe. */
function run(t: Teardown, path: string): ChildProcess {
  const child = spawn(process.execPath, [MAIN, '--config', path], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  t.teardown(() => void child.kill('SIGKILL'));
  return child;
}

async function urlOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: present(child.stdout ?? undefined) })) {
    const ready = JSON.parse(line);
    if (ready.event === 's3.ready') return ready.url;
  }
  throw new Error('it ended without a word');
}

function clientOf(t: Test, endpoint: string): S3Client {
  const aws = new S3Client({
    region: 'eu-west-1',
    endpoint,
    forcePathStyle: true,
    credentials: { ...KEYS },
    maxAttempts: 1,
  });
  t.teardown(() => aws.destroy());
  return aws;
}

const at = (Key: string) => ({ Bucket: 'vault', Key });

t.test('what it acknowledged is there after it was killed, for anonymous readers too', async (t) => {
  const path = configure(t);
  const first = run(t, path);
  const before = clientOf(t, await urlOf(first));
  const put = await before.send(new PutObjectCommand({ ...at('PUB/a'), Body: 'one', ContentType: 'text/x' }));
  await before.send(new PutObjectCommand({ ...at('PRIV/b'), Body: 'two' }));
  await before.send(new PutObjectCommand({ ...at('PRIV/gone'), Body: 'three' }));
  await before.send(new DeleteObjectCommand(at('PRIV/gone')));
  first.kill('SIGKILL');
  await once(first, 'exit');

  const second = run(t, path);
  const url = await urlOf(second);
  const read = await clientOf(t, url).send(new GetObjectCommand({ ...at('PUB/a'), Range: 'bytes=1-2' }));
  t.match(read, { ETag: present(put.ETag), ContentType: 'text/x' });
  t.equal(await read.Body?.transformToString(), 'ne');
  t.equal(await (await fetch(`${url}/vault/PUB/a`)).text(), 'one');
  t.equal((await fetch(`${url}/vault/PRIV/b`)).status, 403);
  await t.rejects(clientOf(t, url).send(new GetObjectCommand(at('PRIV/gone'))), { name: 'NoSuchKey' });
});

t.test('with a certificate it speaks https, and nothing else', async (t) => {
  const path = configure(t, { tls: { certificate: 'tls.pem', key: 'tls-key.pem' } });
  t.throws(() => readEmulatorConfig(path), /tls\.pem cannot be read/);
  const ca = makeTestCa();
  const { cert, key } = ca.issue({ subject: 's3' });
  writeFileSync(join(path, '../tls.pem'), cert);
  writeFileSync(join(path, '../tls-key.pem'), key);
  const url = await urlOf(run(t, path));
  t.match(url, /^https:/);
  const asked = get(`${url}/vault/PUB/none`, { ca: ca.pem, agent: false });
  const [answer]: IncomingMessage[] = await once(asked, 'response');
  t.equal(answer?.statusCode, 403, 'it answers: a reader who may not list');
  answer?.resume();
  await t.rejects(fetch(url.replace('https:', 'http:')), 'not in clear');
});

t.test('it commits the faults that a file names, from the moment on at which it is written', async (t) => {
  const path = configure(t, { faults: 'faults.json' });
  const faults = join(path, '../faults.json');
  const child = run(t, path);
  const aws = clientOf(t, await urlOf(child));
  const told: string[] = [];
  const lines = createInterface(present(child.stdout ?? undefined)).on('line', (line) => told.push(line));
  const put = (key: string) => aws.send(new PutObjectCommand({ ...at(key), Body: 'one' }));
  await put('PRIV-p1/a');
  writeFileSync(
    faults,
    JSON.stringify([
      { operation: 'DeleteObject', bucket: 'vault', prefix: 'PRIV-p1/', fault: 'AccessDenied' },
      { operation: 'DeleteObject', bucket: 'other', fault: 'InternalError' },
      { prefix: 'PRIV-p3/', fault: 'cut' },
    ]),
  );
  await t.rejects(aws.send(new DeleteObjectCommand(at('PRIV-p1/a'))), { name: 'AccessDenied' });
  await put('PRIV-p1/b');
  await aws.send(new DeleteObjectCommand(at('PRIV-p2/a')));
  await t.rejects(put('PRIV-p3/a'), { code: 'ECONNRESET' });

  writeFileSync(faults, '[{ "fault": "Tired", "bukket": "vault" }]');
  await t.rejects(aws.send(new DeleteObjectCommand(at('PRIV-p1/a'))), { name: 'AccessDenied' }, 'those before stay');
  rmSync(faults);
  await aws.send(new DeleteObjectCommand(at('PRIV-p1/a')));
  // Its log comes another way than its answers do.
  while (told.length < 3) await once(lines, 'line');
  t.match(
    told.map((line) => JSON.parse(line)),
    [
      { event: 'faults.read', file: faults, rules: 3 },
      { event: 'faults.refused', file: faults, why: /"bukket"[\s\S]*no error of S3, and not cut/ },
      { event: 'faults.read', file: faults, rules: 0 },
    ],
  );
});

t.test('it ends with its supervisor', async (t) => {
  const child = run(t, configure(t));
  await urlOf(child);
  child.stdio[3]?.destroy();
  const [code] = await once(child, 'exit');
  t.equal(code, 0);
});

t.test('versions come back in their order, and each as it was', async (t) => {
  const statePath = tempDir(t);
  const start = () => startS3Emulator({ credentials: [KEYS], region: 'eu-west-1', statePath });
  const first = await start();
  first.createBucket('vault').versioning = 'Enabled';
  const aws = clientOf(t, first.url);
  for (const Body of ['one', 'two']) await aws.send(new PutObjectCommand({ ...at('k'), Body }));
  await aws.send(new DeleteObjectCommand(at('k')));
  await aws.send(new PutObjectCommand({ ...at('k'), Body: 'four' }));
  const shown = async (client: S3Client) => {
    const { Versions = [], DeleteMarkers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: 'vault' }));
    return [Versions.map(({ VersionId, ETag, IsLatest }) => ({ VersionId, ETag, IsLatest })), DeleteMarkers.length];
  };
  const before = await shown(aws);
  await first.close();
  const second = await start();
  t.teardown(() => second.close());
  const again = clientOf(t, second.url);
  t.same(await shown(again), before);
  t.equal(second.buckets.get('vault')?.versioning, 'Enabled');
  const oldest = present(second.buckets.get('vault')?.versions('k').at(-1)).versionId;
  await again.send(new DeleteObjectCommand({ ...at('k'), VersionId: oldest }));
  t.equal(second.buckets.get('vault')?.versions('k').length, 3);
  t.equal(readdirSync(join(statePath, 'vault')).filter((name) => name.endsWith('.bin')).length, 2, 'and no file more');
});

t.test('an object of many parts is kept as one, and read across them', async (t) => {
  const statePath = tempDir(t);
  const content = randomBytes(1_000_003);
  for (const isFirst of [true, false]) {
    const emulator = await startS3Emulator({ credentials: [KEYS], region: 'eu-west-1', statePath, minPartBytes: 1024 });
    emulator.createBucket('vault');
    const storage = await openS3Storage({
      bucket: 'vault',
      region: 'eu-west-1',
      prefix: 'PUB',
      credentials: async () => ({ ...KEYS }),
      developer: { endpoint: emulator.url },
      partBytes: 100_000,
    });
    if (isFirst) await storage.put(['PublicKey', 'a'], content);
    t.ok(content.equals(await storage.get(['PublicKey', 'a'])));
    const { stream } = await storage.open(['PublicKey', 'a'], { offset: 99_990, length: 200_020 });
    const pieces: Uint8Array[] = [];
    for await (const piece of stream) pieces.push(Uint8Array.from(piece));
    t.ok(Buffer.concat(pieces).equals(content.subarray(99_990, 300_010)));
    storage.close();
    await emulator.close();
  }
});

t.test('leftovers of a killed process are removed, damage is named', async (t) => {
  const statePath = tempDir(t);
  const start = () => startS3Emulator({ credentials: [KEYS], region: 'eu-west-1', statePath });
  const first = await start();
  first.createBucket('vault');
  await clientOf(t, first.url).send(new PutObjectCommand({ ...at('k'), Body: 'one' }));
  await first.close();
  const folder = join(statePath, 'vault');
  writeFileSync(join(folder, '000000000002.bin'), 'half');
  writeFileSync(join(folder, '000000000002.json.new'), '{');
  const second = await start();
  await second.close();
  t.same(readdirSync(folder).sort(), ['000000000001.bin', '000000000001.json', 'bucket.json']);

  const described = join(folder, '000000000001.json');
  const sound = readFileSync(described, 'utf8');
  for (const damaged of ['{', '{}', sound.replace('"sizeBytes":3', '"sizeBytes":4'), sound.replace('CRC32', 'CRC33')]) {
    writeFileSync(described, damaged);
    await t.rejects(start(), /000000000001\.(?:json|bin) is damaged/);
  }
});

t.test('names that are no buckets make no folder', async (t) => {
  const statePath = join(tempDir(t), 'state');
  const emulator = await startS3Emulator({ credentials: [KEYS], statePath });
  t.teardown(() => emulator.close());
  for (const name of ['..', '../x', 'UPPER', 'a', ''])
    t.throws(() => emulator.createBucket(name), { code: 'InvalidBucketName' });
  t.same(readdirSync(statePath), []);
});

t.test('a configuration that is wrong is refused with all that is wrong', async (t) => {
  t.throws(() => readEmulatorConfig('/nonexistent/s3.json'), /cannot be read/);
  t.throws(() => readEmulatorConfig(configure(t, { port: -1, regoin: 'x' })), {
    message: /port.*regoin|regoin.*port/s,
  });
  t.match(readEmulatorConfig(configure(t)), { options: { region: 'eu-west-1' }, buckets: [{ versioning: false }] });
});

t.test('the configuration in the documentation is one', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/developers/s3-emulator.md'), 'utf8');
  const [, example = ''] = /```json\n([\s\S]*?)```/.exec(page) ?? [];
  const path = configure(t);
  writeFileSync(path, example);
  t.equal(readEmulatorConfig(path).buckets.length, 1);
});
