/** A real node, started from a copy of the sources that the test may edit: what is edited is refused by its peer. */
import { spawn } from 'node:child_process';
import { appendFileSync, cpSync, readFileSync, symlinkSync, unwatchFile, watchFile } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { tempDir } from '../../../helpers/temp-dir.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const PARTS = [
  'attestation',
  'bin',
  'common',
  'enclave',
  'native',
  'parent',
  'proto',
  'storage',
  'wire',
  'package.json',
];

const Ready = z.object({ ready: z.literal(true), pids: z.object({ engine: z.int(), core: z.int() }) });

/** Copies the program, but for what nobody loads; packages are linked, since they are not edited. */
function copyProgram(t: Test): string {
  const copy = tempDir(t);
  for (const part of PARTS) {
    const options = { recursive: true, filter: (path: string) => !/\/(target|src)$/.test(path) };
    cpSync(join(ROOT, part), join(copy, part), options);
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Starts `arca dev` of a copy; it is stopped with the test. */
async function startNode(t: Test, copy: string) {
  const dir = join(tempDir(t), 's');
  const ports = ['--port', '0', '--public-port', '0', '--ops-port', '0'];
  const child = spawn(join(copy, 'bin/arca'), ['dev', '--json', '--dir', dir, '--params', 'test', ...ports], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = () => {
    child.kill('SIGTERM');
    return ended;
  };
  t.teardown(stop);
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = Ready.safeParse(JSON.parse(line));
    if (ready.success) return { pids: ready.data.pids, log: join(dir, 'node.log'), stop };
  }
  throw new Error('the node did not start');
}

/** Resolves with the first line of a log that holds all the texts; the test's own limit ends the wait. */
function logLine(log: string, ...texts: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const look = (): boolean => {
      const line = readFileSync(log, 'utf8')
        .split('\n')
        .find((each) => texts.every((text) => each.includes(text)));
      if (line !== undefined) resolve(line);
      return line !== undefined;
    };
    const listener = () => {
      if (look()) unwatchFile(log, listener);
    };
    if (!look()) watchFile(log, { interval: 50 }, listener);
  });
}

t.test(
  'a program that was edited after its release was made is refused by its peer, and the file is named',
  async (t) => {
    for (const [name, file, refusedBy] of [
      ['core', 'parent/core/core.ts', 'engine'],
      ['engine', 'enclave/engine.ts', 'core'],
    ] as const) {
      const copy = copyProgram(t);
      const { pids, log, stop } = await startNode(t, copy);
      appendFileSync(join(copy, file), '\n// one line more\n');
      process.kill(pids[name], 'SIGKILL');
      const changed = await logLine(log, 'attestation.files-changed', `"${name}"`);
      t.match(changed, file, `${name}: the log names the file`);
      const refused = await logLine(log, 'mesh.refused', `"name":"${refusedBy}"`, '"refusedBy":"us"', 'measurement');
      t.match(refused, /PCR(0|12) of/, `${name}: refused by the ${refusedBy}, for what was measured`);
      await stop();
    }
  },
);
