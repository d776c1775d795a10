/** `arca import` as an operator runs it: on a stopped quorum and a stopped node, whose processes then use the key. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generateKeySet } from '../../native/engine/index.ts';
import { runArca } from '../helpers/cli-script.ts';
import { clientKeyOf } from '../helpers/client-key.ts';
import { startParty } from '../helpers/start-party.ts';
import { startQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const TAG = 'a1'.repeat(32);
const { key, objects } = await generateKeySet({ params: 'test', tag: Buffer.from(TAG, 'hex'), layout: 'compressed' });
for (const { bytes } of objects) bytes.dispose();
const file = join(tempDir(t), 'client.key');
writeFileSync(file, clientKeyOf(key));
key.dispose();

/** Runs a command that must succeed, and returns the JSON object that it prints. */
async function arca(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runArca([...args, '--json']);
  if (code !== 0) throw new Error(`arca ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

async function refused(...args: readonly string[]): Promise<unknown> {
  const { code, stdout } = await runArca([...args, '--json']);
  return { code, ...JSON.parse(stdout) };
}

t.test('a stopped quorum takes a key, and decrypts with it once it runs again', async (t) => {
  const first = await startQuorum(t, { parties: 4 });
  const { dir } = first;
  const command = ['import', '--client-key', file, '--dir', dir];
  t.match(await refused(...command), { code: 1, error: { code: 'PRECONDITION_FAILED', message: /in use/ } });
  await first.stop();
  const { code, stdout, stderr } = await runArca(command);
  t.same([code, stdout], [0, `${TAG}\n`]);
  t.match(stderr, /WHOLE secret key/);
  t.match(await refused(...command), { code: 1, error: { code: 'ALREADY_EXISTS', message: /party-4/ } });
  const again = await startQuorum(t, { parties: 4, dir });
  for (const format of ['big-compressed', 'small-compressed']) {
    const out = join(dir, `${format}.ct`);
    await arca('encrypt', '--dir', dir, '--type', 'euint64', '4711', '--format', format, '--out', out);
    t.match(JSON.stringify(await arca('decrypt', out, '--dir', dir)), /4711/, `public, ${format}`);
    t.match(JSON.stringify(await arca('decrypt', out, '--dir', dir, '--for-user')), /4711/, `for a user, ${format}`);
  }
  for (const { logged } of again.members) await logged(/quorum\.check.*opened to zero/);
  await again.stop();
});

t.test('a stopped node takes a key under an id of its own', async (t) => {
  const first = await startParty(t);
  const { dir } = first;
  await first.stop();
  const id = '0b'.repeat(32);
  t.match(await arca('import', '--client-key', file, '--dir', dir, '--key-id', id), {
    keyId: id,
    params: 'test',
    provenance: 'imported',
    parties: 0,
  });
  const again = await startParty(t, { dir });
  const out = join(dir, 'value.ct');
  await arca('encrypt', '--dir', dir, '--type', 'euint8', '77', '--out', out);
  t.match(JSON.stringify(await arca('decrypt', out, '--dir', dir)), /77/);
  await again.stop();
});

t.test('wrong command lines and folders are refused with a cure', async (t) => {
  const dir = tempDir(t);
  const command = ['import', '--client-key', file, '--dir', dir];
  t.match(await refused(...command), { code: 1, error: { code: 'NOT_FOUND', cure: /arca dev/ } });
  for (const more of [
    ['--public-key', file],
    ['--key-set', file],
    ['--public-key', file, '--key-set', file, '--server-key', file],
  ]) {
    t.match(await refused(...command, ...more), { code: 2, error: { message: /not complete/ } }, more.join(' '));
  }
  for (const [option, text] of [
    ['--key-id', '12'],
    ['--key-id', '00'.repeat(32)],
    ['--epoch', 'x'],
    ['--extra-data', 'abc'],
    ['--domain-chain', '-1'],
    ['--domain-contract', '0x12'],
  ] as const) {
    t.match(await refused(...command, option, text), { code: 2 }, `${option} ${text}`);
  }
});
