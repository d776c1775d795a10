/** `arca attest` and `arca peers` against a node that `arca dev` runs, and a checker that shares nothing with ours. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { z } from 'zod';
import { runArca, runCliScript } from '../helpers/cli-script.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/arca', import.meta.url));
const CHECKER = fileURLToPath(new URL('../../scripts/verify-attestation.mjs', import.meta.url));
const Ready = z.looseObject({ clientUrl: z.string(), publicUrl: z.string(), address: z.string() });

t.test('what a node attests is checked by every command, and by a stranger', { timeout: 120_000 }, async (t) => {
  const out = tempDir(t);
  const dir = join(out, 'state');
  const ports = ['--port', '0', '--public-port', '0', '--ops-port', '0'];
  const child = spawn(LAUNCHER, ['dev', '--dir', dir, ...ports, '--json'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  t.teardown(async () => {
    process.off('exit', kill);
    child.kill('SIGTERM');
    await once(child, 'close');
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const node = Ready.parse(JSON.parse(String(line)));
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
});
