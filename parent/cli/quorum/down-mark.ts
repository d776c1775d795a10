/**
 * `party-down` in the folder of a party that its quorum took down and leaves down: who finds the folder locked and no node on it
 * need not wait for one.
 */
import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../framework/failure.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';

/** Says of a party's folder that its node was taken down. */
export async function markDown(dir: string): Promise<void> {
  await writeFile(join(dir, STATE_FILES.down), '', { mode: 0o600 });
}

/** Takes it back: the node is started. */
export async function clearDownMark(dir: string): Promise<void> {
  await rm(join(dir, STATE_FILES.down), { force: true });
}

/** Returns whether the node of a locked folder was taken down. */
export async function isMarkedDown(dir: string): Promise<boolean> {
  try {
    await stat(join(dir, STATE_FILES.down));
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}
