/**
 * `arca run` as an operator types it, with [enclave] backend = "qemu": the launcher's command line, a test image that boots,
 * decryptions through the client port, and Ctrl-C, after which nothing runs.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { enclaveFolder } from '../../parent/cli/run/node-enclave.ts';
import { runCliScript } from '../helpers/cli-script.ts';
import { qemuNode } from '../helpers/qemu-node.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { verifyByImage } from '../helpers/verify-by-image.ts';

t.setTimeout(1_800_000);

const LAUNCHER = fileURLToPath(new URL('../../bin/arca', import.meta.url));

/** Returns the command lines of all processes in which one of the words stands, but for this one's. */
function processesWith(words: readonly string[]): readonly string[] {
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // it has ended meanwhile
      }
    });
  return lines.filter((line) => words.some((word) => line.includes(word)));
}

t.test('from the command line to a decryption in the enclave, and Ctrl-C leaves nothing running', async (t) => {
  const { dir, file, image } = await qemuNode(t);

  const child = spawn(LAUNCHER, ['run', '--config', file, '--params', 'test', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  const closed = once(child, 'close');
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await closed;
  });
  const ready = once(createInterface({ input: child.stdout }), 'line');
  const line = await Promise.race([ready, closed.then(() => undefined)]);
  const node = JSON.parse(line === undefined ? '{}' : String(line[0]));
  if (node.ready !== true) throw new Error(`arca run ended:\n${said.join('\n')}`);
  t.match(node, { developerMode: true, address: /^0x/ });

  const sockets = await enclaveFolder(dir);
  // Everything that the launcher starts has one of these in its arguments; the emulators are this test's.
  const own = [sockets, file];
  const running = processesWith(own);
  for (const program of ['qemu-system-x86_64', 'vhost-device-vsock', 'vsock-proxy/main', 'core/main']) {
    t.ok(
      running.some((command) => command.includes(program)),
      `${program} runs`,
    );
  }
  const root = join(dir, 'governance', 'developer-root.pem');
  await verifyByImage(t, image, new URL(node.publicUrl).host, root);
  await runCliScript(t, new URL('scripts/run.txt', import.meta.url), { DIR: dir, OUT: tempDir(t) });

  child.kill('SIGINT');
  const [code] = await closed;
  t.equal(code, 0, said.join('\n'));
  t.same(processesWith(own), [], 'nothing of it runs');
  t.notOk(readdirSync(join(sockets, '..')).includes('enclave'), 'and nothing of its folder is left');
});
