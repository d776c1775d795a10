/**
 * Faults by name: each is refused or answered with what is wrong and what to do, and nothing else is harmed.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { publicDecryption, statusOf, type TestCiphertext } from '../helpers/party-requests.ts';
import { encryptFor, type Party, startParty } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const ARCA = join(import.meta.dirname, '../../bin/arca');

/** Runs the CLI to its end. */
function arca(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(ARCA, args, { encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** Answers of the standard health service. */
const SERVING = 1;
const NOT_SERVING = 2;

const anyPorts = ['--port', '0', '--public-port', '0', '--ops-port', '0'];

/** Names and contents of a folder's files. */
function snapshot(dir: string): Record<string, string> {
  return Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'latin1')]));
}

t.test(
  'a state folder that is unknown, half-written or newer is refused with a cure, and nothing in it changes',
  async (t) => {
    const folders: Record<string, Record<string, string>> = {
      'files of somebody else': { 'thesis.txt': 'chapter 1', 'photo.jpg': 'x' },
      'half-written': { 'core.sqlite': 'x', 'node.toml': 'x' },
      'an unreadable format': { 'format.json': '{"format":"arca-st' },
      'another format': { 'format.json': '{"format":"other-state","version":1}' },
      'a newer format': { 'format.json': '{"format":"arca-state","version":99}' },
    };
    for (const [what, files] of Object.entries(folders)) {
      const dir = tempDir(t);
      for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
      const before = snapshot(dir);
      for (const args of [[], ['--reset']]) {
        // A folder that is ours, if of a newer format, may be reset; the others are never cleared.
        if (what === 'a newer format' && args.length > 0) continue;
        const { status, stderr } = arca('dev', '--dir', dir, ...anyPorts, ...args);
        t.equal(status, 1, `${what} ${args.join()}`);
        t.match(stderr, /error: .*\n(.*\n)*?\s+cure: \S/, `${what}: says what to do`);
        t.match(stderr, dir, `${what}: names the folder`);
        const { 'lock.sqlite': _lock, ...after } = snapshot(dir);
        t.same(after, before, `${what}: nothing was deleted or changed`);
      }
    }
  },
);

t.test('a second process on one state folder is refused and names the first', async (t) => {
  const party = await startParty(t);
  const { status, stderr } = arca('dev', '--dir', party.dir, ...anyPorts);
  t.equal(status, 1);
  t.match(stderr, `${party.dir} is in use by process ${process.pid}`);
  t.match(stderr, /cure: stop it/);
  t.equal(await party.client.health(), 1, 'the first one goes on');
});

t.test('a taken port is named with the option that changes it', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await new Promise((resolve) => taken.once('listening', resolve));
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  for (const option of ['--port', '--public-port', '--ops-port']) {
    const others = ['--port', '--public-port', '--ops-port']
      .filter((other) => other !== option)
      .flatMap((other) => [other, '0']);
    const { status, stderr } = arca('dev', '--dir', tempDir(t), option, String(port), ...others);
    t.equal(status, 1, option);
    t.match(stderr, `port ${port}`, option);
    t.match(stderr, `${option} PORT`, `the cure for ${option}`);
  }
});

t.test('a typo in the configuration is told with line, field and nearest known key', async (t) => {
  const file = join(tempDir(t), 'node.toml');
  writeFileSync(file, 'developer_mode = true\n[service]\nlisten_prot = 50051\n[telemetry]\nlog_levl = "info"\n');
  for (const [command = '', ...args] of [
    ['config', 'check', file],
    ['node', '--config', file],
  ]) {
    const { status, stderr } = arca(command, ...args);
    t.equal(status, 1, command);
    t.match(stderr, 'line 3: service.listen_prot: unknown key; did you mean listen_port?', command);
    t.match(stderr, 'line 5: telemetry.log_levl: unknown key; did you mean log_level?', command);
  }
});

t.test('without its engine a core answers UNAVAILABLE, reports it, and recovers by itself', async (t) => {
  const party = await startParty(t);
  const { keyId } = await party.generateKey();
  const ciphertexts = await smallCiphertexts(party, keyId);
  const { core, engine } = party.pids();

  process.kill(engine ?? 0, 'SIGKILL');
  const [refused] = await Promise.all([
    until(() => failureOf(party.client.call('PublicDecryptSync', publicDecryption(keyId, ciphertexts)))),
    until(async () => (await party.client.health()) === NOT_SERVING || undefined),
    until(async () => (await fetch(`${party.node.opsUrl}/ready`)).status === 503 || undefined),
  ]);
  t.match(refused, { status: 14, details: { retryAfterMs: Number } }, 'UNAVAILABLE, with a time to retry');

  await until(async () => (party.pids().engine ?? engine) !== engine || undefined);
  await until(async () => (await party.client.health()) === SERVING || undefined);
  t.equal(await statusOf(party.client.call('PublicDecryptSync', publicDecryption(keyId, ciphertexts))), 0);
  t.equal(party.pids().core, core, 'the core is the same process');
});

const mayMount = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;

for (const vault of ['public', 'private']) {
  const skip = mayMount ? false : 'needs the right to mount a small file system';
  t.test(`a full ${vault} vault fails a key generation by name and leaves all else as it was`, { skip }, async (t) => {
    const dir = tempDir(t);
    const before = await startParty(t, { dir });
    await before.stop();
    const folder = join(dir, vault);
    t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder]).status, 0);
    t.teardown(() => void spawnSync('umount', ['-l', folder]));

    const party = await startParty(t, { dir });
    const { keyId } = await party.generateKey();
    const ciphertexts = await smallCiphertexts(party, keyId);
    const room = fillDisk(folder, 8192);

    await t.rejects(party.generateKey(), { code: 'INTERNAL', message: /disk is full/ }, 'says why');
    const held = await party.client.call('GetKeyMaterialAvailability', {});
    t.same(held.fheKeyIds, [keyId], 'the failed key does not exist');
    for (const type of ['PublicKey', 'CompressedXofKeySet']) {
      t.same(readdirSync(join(dir, 'public/PUB', type)), [keyId], `nor does its ${type}`);
    }
    t.equal(freeBytes(folder), room, 'its space is free again');
    t.equal(await statusOf(party.client.call('PublicDecryptSync', publicDecryption(keyId, ciphertexts))), 0);

    writeFileSync(join(folder, 'filler'), '');
    const { keyId: later } = await party.generateKey();
    t.not(later, keyId, 'works again once there is room');
    await party.stop();
  });
}

async function smallCiphertexts(party: Party, keyId: string): Promise<TestCiphertext[]> {
  const encrypted = await encryptFor(party, keyId, [{ value: 7n, fheType: 2 }]);
  return encrypted.map((ciphertext) => ({ ciphertext, fheType: 2 }));
}

/** Fills a file system until about `leave` bytes are free; returns what is. */
function fillDisk(folder: string, leave: number): number {
  writeFileSync(join(folder, 'filler'), new Uint8Array(Math.max(0, freeBytes(folder) - leave)));
  return freeBytes(folder);
}

function freeBytes(folder: string): number {
  const { stdout } = spawnSync('df', ['--output=avail', '-B1', folder], { encoding: 'utf8' });
  return Number(stdout.trim().split('\n').at(-1));
}

/** Returns what a call failed with, undefined if it did not. */
async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Asks until there is an answer; the test's own time limit ends it. */
async function until<T>(ask: () => Promise<T | undefined>): Promise<T> {
  while (true) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    await delay(20);
  }
}
