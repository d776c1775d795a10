/**
 * Starts Debian's `swtpm` for one test. `scripts/tpm-setup` fetches it; without it the tests say so and are skipped.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Teardown, tempDir } from './temp-dir.ts';

const SETUP = join(import.meta.dirname, '../../scripts/tpm-setup');

/** The program, or undefined if it is not on this machine. */
export function findSwtpm(): string | undefined {
  const { status, stdout } = spawnSync(SETUP, ['--check'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** Starts a new TPM and returns the path of its Unix socket. */
export async function startSwtpm(t: Teardown, program: string): Promise<string> {
  const folder = tempDir(t);
  const path = join(folder, 'tpm');
  const args = ['socket', '--tpm2', '--tpmstate', `dir=${folder}`, '--server', `type=unixio,path=${path}`];
  const child = spawn(program, [...args, '--flags', 'not-need-init,startup-clear'], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  t.teardown(async () => {
    child.kill();
    await exited;
  });
  let isOver = false;
  exited.then(() => (isOver = true)).catch(() => undefined);
  while (!(await canConnect(path))) {
    if (isOver) throw new Error('swtpm does not start');
  }
  return path;
}

async function canConnect(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
