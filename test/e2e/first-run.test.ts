/**
 * `npm start` as a stranger runs it: a fresh folder, one JSON object, answers accepted by the published client.
 */
import { join } from 'node:path';
import t from 'tap';
import { runArca } from '../helpers/cli-script.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const ANY_PORTS = ['--port', '0', '--public-port', '0', '--ops-port', '0'];

t.test('the guided run ends with verified answers, and a second one reuses the key', async (t) => {
  const dir = join(tempDir(t), 'state');
  const first = await runArca(['start', '--once', '--json', '--dir', dir, ...ANY_PORTS]);
  t.equal(first.code, 0, first.stderr);
  const run = JSON.parse(first.stdout);
  t.match(run, {
    verified: true,
    keyId: /^[0-9a-f]{64}$/,
    params: 'test',
    address: /^0x[0-9a-fA-F]{40}$/,
    value: '42',
    verdict: { public: { ok: true, signer: run.address, values: ['42'] }, user: { ok: true, values: ['42'] } },
  });
  t.equal(run.steps.length, 6, 'six steps');
  for (const { name, ms } of run.steps) t.ok(Number.isInteger(ms) && ms >= 0, name);
  t.match(first.stderr, /test parameters are NOT secure.*--params default/);
  t.match(first.stderr, /developer mode/);
  t.equal(first.stdout.trimEnd().split('\n').length, 1, 'one object alone on standard output');

  const second = await runArca(['start', '--once', '--json', '--dir', dir, ...ANY_PORTS]);
  t.equal(second.code, 0, second.stderr);
  t.match(JSON.parse(second.stdout), { verified: true, keyId: run.keyId, address: run.address });
});
