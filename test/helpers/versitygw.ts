/**
 * A real S3 server from elsewhere, the Go module `github.com/versity/versitygw`, built once where Go is on the machine.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import type { Test } from 'tap';
import type { S3StorageOptions } from '../../storage/s3/options.ts';
import { freePorts } from './free-port.ts';
import { tempDir } from './temp-dir.ts';

const GO = 'go';
const VERSION = '1.8.0';
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/arca');
const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };

/** Returns the program, built if need be; undefined where there is no Go to build it with. */
function versitygw(): string | undefined {
  const program = join(CACHE, `versitygw-${VERSION}`);
  if (existsSync(program)) return program;
  try {
    execFileSync(GO, ['version'], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  mkdirSync(CACHE, { recursive: true });
  // Without cgo: run by root, the linker's trials have been seen to remove /dev/null.
  const env = { ...process.env, GOBIN: CACHE, CGO_ENABLED: '0', GOFLAGS: '-p=1' };
  execFileSync(GO, ['install', `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`], { env, stdio: 'inherit' });
  renameSync(join(CACHE, 'versitygw'), program);
  return program;
}

/** Starts it with a bucket `plain` and a bucket `versioned`, until the test ends. Returns how vaults reach it. */
export async function startVersitygw(t: Test): Promise<S3StorageOptions | undefined> {
  const program = versitygw();
  if (program === undefined) return undefined;
  const root = tempDir(t);
  for (const folder of ['data', 'versions']) mkdirSync(join(root, folder));
  const [port = 0] = await freePorts(1);
  const child = spawn(
    program,
    ['--quiet', '--port', `127.0.0.1:${port}`, '--region', 'eu-west-1', 'posix']
      .concat(['--versioning-dir', join(root, 'versions')])
      .concat([join(root, 'data')]),
    { env: { ROOT_ACCESS_KEY: KEYS.accessKeyId, ROOT_SECRET_KEY: KEYS.secretAccessKey }, stdio: 'ignore' },
  );
  t.teardown(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  await reachable(port);
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new S3Client({ endpoint, region: 'eu-west-1', credentials: KEYS, forcePathStyle: true });
  for (const name of ['plain', 'versioned']) await client.send(new CreateBucketCommand({ Bucket: name }));
  const versioning = { Bucket: 'versioned', VersioningConfiguration: { Status: 'Enabled' } } as const;
  await client.send(new PutBucketVersioningCommand(versioning));
  client.destroy();
  return {
    bucket: 'plain',
    region: 'eu-west-1',
    prefix: 'PRIV',
    credentials: async () => KEYS,
    developer: { endpoint },
  };
}

async function reachable(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const socket = connect(port, '127.0.0.1');
    const up = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (up) return;
    await wait(50);
  }
  throw new Error('the S3 server does not listen');
}
