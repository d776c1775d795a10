/** `arca attest` and `arca peers` against a node that `arca dev` runs, and a checker that shares nothing with ours. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { runArca, runCliScript } from '../helpers/cli-script.ts';
import { type Teardown, tempDir } from '../helpers/temp-dir.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/arca', import.meta.url));
const CHECKER = fileURLToPath(new URL('../../scripts/verify-attestation.mjs', import.meta.url));
const Ready = z.looseObject({ clientUrl: z.string(), publicUrl: z.string(), address: z.string() });

const ANY_PORTS = ['--port', '0', '--public-port', '0', '--ops-port', '0'];

/** Runs a node; returns what it said when it was ready, and how to stop it before the test ends. */
async function startNode(t: Teardown, args: readonly string[]) {
  const child = spawn(LAUNCHER, [...args, '--json'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'close');
  };
  t.teardown(stop);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const said = Ready.safeParse(JSON.parse(String(line)));
  if (!said.success) throw new Error(`arca ${args[0]} did not become ready: ${line}`);
  return { stop, ...said.data };
}

t.test('what a node attests is checked by every command, and by a stranger', async (t) => {
  const out = tempDir(t);
  const dir = join(out, 'state');
  const node = await startNode(t, ['dev', '--dir', dir, ...ANY_PORTS]);
  const releases = join(out, 'releases.json');
  const shown = (await runArca(['release', 'show', '--dir', dir, '--json'])).stdout;
  writeFileSync(releases, shown);
  const other = `${releases}.other`;
  writeFileSync(other, shown.replaceAll(/"0":"[0-9a-f]{8}/g, '"0":"deadbeef'));
  const target = new URL(node.publicUrl).host;
  await runCliScript(t, new URL('./scripts/attest.txt', import.meta.url), {
    DIR: dir,
    OUT: out,
    TARGET: target,
    CLIENT_URL: node.clientUrl,
    ADDRESS: node.address,
    RELEASES: releases,
    OTHER_RELEASES: other,
  });
  const root = join(dir, 'governance', 'developer-root.pem');
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [CHECKER, `http://${target}`, root]);
  t.match(
    JSON.parse(stdout),
    { holds: true, facts: { address: node.address } },
    'a checker that imports nothing of ours',
  );
  await t.rejects(
    run(process.execPath, [CHECKER, `http://${target}`]),
    /first certificate/,
    'nor under the root of AWS',
  );
  await node.stop();
  await attestedClientPort(t, dir, out);
});

/** The same node again, now with an attested client port, as its operator would configure it. */
async function attestedClientPort(t: Test, dir: string, out: string): Promise<void> {
  const config = join(out, 'attested.toml');
  writeFileSync(config, `${readFileSync(join(dir, 'node.toml'), 'utf8')}\n[service.tls]\nattested = true\n`);
  const node = await startNode(t, ['node', '--config', config, '--params', 'test']);
  t.match(node.clientUrl, /^https:/);
  const port = node.clientUrl.replace('https:', 'grpcs:');
  const verified = await runArca(['attest', 'verify', port, '--dir', dir, '--json']);
  t.match(JSON.parse(verified.stdout), { verified: true, developer: true, faults: [] }, 'the client port');
  t.equal((await runArca(['attest', 'verify', port])).code, 1, 'not without its root');
  t.equal((await runArca(['key', 'list', '--dir', dir])).code, 0, 'its operator needs no authority');
}
