/**
 * The emulated AWS KMS as a program of its own: configuration, ready line, a line for each call, an end on request.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import t from 'tap';
import { makeDeveloperRoot } from '../../../attestation/developer/chain.ts';
import { readEmulatorConfig } from '../../../emulators/aws-kms/config.ts';
import { ACCOUNT, ADMIN_ARN, ALLOW_ALL, credentialsOf, ENGINE_ARN, REGION } from '../../helpers/aws-kms.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

const MAIN = join(import.meta.dirname, '../../../emulators/aws-kms/main.ts');
const CONFIG = {
  region: REGION,
  account: ACCOUNT,
  port: 0,
  root: 'root.pem',
  state: 'keys.json',
  identities: [{ ...credentialsOf('admin'), arn: ADMIN_ARN, policies: [JSON.parse(ALLOW_ALL)] }],
};

/** Writes a configuration and a root, and returns the path. */
function configure(t: Teardown, change: object = {}): string {
  const dir = tempDir(t);
  const { certificate } = makeDeveloperRoot({ nowMs: Date.now() });
  const lines = Buffer.from(certificate).toString('base64').replaceAll(/.{64}/g, '$&\n');
  writeFileSync(join(dir, 'root.pem'), `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`);
  const path = join(dir, 'kms-emulator.json');
  writeFileSync(path, JSON.stringify({ ...CONFIG, ...change }));
  return path;
}

function run(t: Teardown, ...args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => void child.kill('SIGKILL'));
  return child;
}

/** What a program says until it ends. */
async function outcome(child: ChildProcess) {
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const [code] = await once(child, 'close');
  return { code, text: said.join('') };
}

t.test('it serves, tells of each call, keeps its keys, and ends when asked', async (t) => {
  const path = configure(t);
  const child = run(t, '--config', path);
  const { stdout } = child;
  if (stdout === null) throw new Error('no output');
  const lines = createInterface(stdout)[Symbol.asyncIterator]();
  const next = async () => JSON.parse(String((await lines.next()).value));
  const ready = await next();
  t.match(ready, { event: 'kms.ready', url: /^http:\/\/127\.0\.0\.1:\d+$/, region: REGION, account: ACCOUNT });
  const client = new KMSClient({
    region: REGION,
    endpoint: ready.url,
    credentials: credentialsOf('admin'),
    maxAttempts: 1,
  });
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  t.match(KeyMetadata, { KeyState: 'Enabled' });
  t.match(await next(), { event: 'kms.call', operation: 'CreateKey', caller: ADMIN_ARN, outcome: 'ok' });
  t.ok(existsSync(join(path, '../keys.json')), 'beside the configuration');
  client.destroy();
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  t.equal(code, 0);
});

t.test('it commits the faults that a file names, for as long as it is there', async (t) => {
  const path = configure(t, { faults: 'faults.json' });
  const faults = join(path, '../faults.json');
  const child = run(t, '--config', path);
  if (child.stdout === null) throw new Error('no output');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => JSON.parse(String((await lines.next()).value));
  const { url: endpoint } = await next();
  const client = new KMSClient({ region: REGION, endpoint, credentials: credentialsOf('admin'), maxAttempts: 1 });
  t.teardown(() => client.destroy());
  const write = (...rules: readonly object[]) => writeFileSync(faults, JSON.stringify(rules));
  const create = () => client.send(new CreateKeyCommand({}));

  write(
    { operation: 'Decrypt', fault: 'KMSInternalException' },
    { operation: 'CreateKey', fault: 'ThrottlingException' },
  );
  await t.rejects(create(), { name: 'ThrottlingException', message: 'Rate exceeded' });
  t.match(await next(), { event: 'faults.read', rules: 2 });
  t.match(await next(), { event: 'kms.call', operation: 'CreateKey', outcome: 'ThrottlingException' });
  write({ fault: 'cut' });
  await t.rejects(create(), { code: 'ECONNRESET' });
  t.match(await next(), { event: 'faults.read', rules: 1 });
  write({ fault: 'tired' });
  await t.rejects(create(), { code: 'ECONNRESET' }, 'those before stay');
  t.match(await next(), { event: 'faults.refused', why: /none of AccessDeniedException/ });
  rmSync(faults);
  t.match(await create(), { KeyMetadata: { KeyState: 'Enabled' } });
});

t.test('a configuration that is wrong is refused with all that is wrong', async (t) => {
  const missing = await outcome(run(t));
  t.match(missing, { code: 2, text: /--config is missing/ });
  t.match(await outcome(run(t, '--help')), { code: 0, text: /^Usage:/ });
  t.throws(() => readEmulatorConfig('/nonexistent/kms.json'), /cannot be read/);
  t.throws(() => readEmulatorConfig(configure(t, { port: 70_000, acount: 'x' })), /port[\s\S]*|acount/);
  t.throws(() => readEmulatorConfig(configure(t, { root: 'other.pem' })), /other\.pem is not a certificate in PEM/);
  const tls = configure(t, { tls: { certificate: 'tls.pem', key: 'tls-key.pem' } });
  t.throws(() => readEmulatorConfig(tls), /tls\.pem cannot be read/);
  for (const name of ['tls.pem', 'tls-key.pem']) writeFileSync(join(tls, '..', name), name);
  t.same(readEmulatorConfig(tls).tls, { cert: 'tls.pem', key: 'tls-key.pem' }, 'each file in its place');
  const path = configure(t);
  writeFileSync(path, '{');
  t.throws(() => readEmulatorConfig(path), /is not JSON/);
  t.equal(readEmulatorConfig(configure(t, { root: 'aws' })).anchor.certificate.length, 533);
});

t.test('the configuration in the documentation is one', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/developers/kms-emulator.md'), 'utf8');
  const [, example = ''] = /```json\n([\s\S]*?)```/.exec(page) ?? [];
  const path = configure(t);
  renameSync(join(path, '../root.pem'), join(path, '../developer-root.pem'));
  writeFileSync(path, example);
  const options = readEmulatorConfig(path);
  t.equal(options.identities.length, 2);
  t.equal(options.roles?.[0]?.arn, ENGINE_ARN);
});
