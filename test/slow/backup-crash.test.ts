/**
 * SIGKILL at every write boundary of a backup and of a restore: the same work goes on where it was, and in the end everything is
 * there; a vault that was restored by half is none to start with.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openFileStorage } from '../../storage/file-storage.ts';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import {
  completeBackup,
  contentOf,
  filledVault,
  GOVERNANCE,
  keyName,
  restoreInto,
  SIGNING_KEY,
  vaultIn,
} from '../unit/backup/backup-scene.ts';

const CHILD = fileURLToPath(new URL('./backup-crash-child.ts', import.meta.url));
const NAMES = [SIGNING_KEY, GOVERNANCE, keyName(1), keyName(2)];

const openFolder = (root: string): Promise<Storage> => openFileStorage({ root, prefix: 'V', folderMode: 0o700 });

/** Runs the work to its end. @returns Whether it was killed. */
async function isKilled(work: string, from: string, to: string, step: number): Promise<boolean> {
  const child = spawn(process.execPath, [CHILD, work, from, to, String(step)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await once(child, 'close');
  if (child.signalCode === 'SIGKILL') return true;
  if (child.exitCode === 0) return false;
  throw new Error(`the process ended with ${child.exitCode}`);
}

async function isComplete(storage: Storage, like: Awaited<ReturnType<typeof vaultIn>>): Promise<boolean> {
  const vault = await vaultIn(storage);
  for (const name of NAMES) {
    if (Buffer.compare(await contentOf(vault, name), await contentOf(like, name)) !== 0) return false;
  }
  return true;
}

/** A vault on a disk. */
async function vaultOnDisk(t: Test) {
  const root = tempDir(t);
  return { root, vault: await filledVault(await openFolder(root)) };
}

t.test(
  'a backup that is killed at any write goes on, and all of it can be restored',
  { timeout: 1_800_000 },
  async (t) => {
    const { root, vault } = await vaultOnDisk(t);
    let step = 0;
    for (; ; step++) {
      const folder = tempDir(t);
      const killed = await isKilled('backup', root, folder, step);
      const backup = await openFolder(folder);
      await completeBackup(vault, backup);
      const restored = openMemoryStorage();
      await restoreInto(restored, backup);
      t.ok(await isComplete(restored, vault), `write ${step}`);
      if (!killed) break;
    }
    t.ok(step > 40, `${step} boundaries`);
  },
);

t.test(
  'a restore that is killed at any write goes on, and starts nothing before it has ended',
  { timeout: 1_800_000 },
  async (t) => {
    const { vault } = await vaultOnDisk(t);
    const source = tempDir(t);
    const backup = await openFolder(source);
    await completeBackup(vault, backup);
    let step = 0;
    for (; ; step++) {
      const folder = tempDir(t);
      const killed = await isKilled('restore', source, folder, step);
      const target = await openFolder(folder);
      const half = await vaultIn(target);
      if (half.head.entry(SIGNING_KEY)?.writing !== undefined) {
        t.ok(
          NAMES.every((name) => half.store.has(name)),
          `write ${step}: the node's key came last`,
        );
      }
      await restoreInto(target, backup);
      t.ok(await isComplete(target, vault), `write ${step}`);
      if (!killed) break;
    }
    t.ok(step > 40, `${step} boundaries`);
  },
);
