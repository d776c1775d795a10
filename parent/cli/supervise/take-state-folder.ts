/**
 * Takes a state folder for a start: makes it if it is absent, locks it, refuses one that is not ours or not of this kind.
 */
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readQuorumFile, writeQuorumFile } from '../quorum/quorum-file.ts';
import { acquireFolderLock, type FolderLock } from './folder-lock.ts';
import { removeNodeFile } from './node-file.ts';
import {
  createStateFolder,
  holdsNode,
  requireUsableStateFolder,
  resetStateFolder,
  writeFormat,
} from './state-folder.ts';

/** How a folder is taken. */
export interface TakeOptions {
  /** Clears it first, if it is one of ours. */
  readonly reset: boolean;
  /** 1 for the folder of one node; else how many parties the quorum in it has. */
  readonly parties: number;
}

/**
 * Takes a folder, whose format and kind are then written.
 *
 * @returns Its lock, which the caller releases.
 * @throws {@link KmsError} `STATE_INVALID` if it is not ours, or holds another kind of state, `PRECONDITION_FAILED` if it
 *   is in use.
 */
export async function takeStateFolder(dir: string, options: TakeOptions, output: Output): Promise<FolderLock> {
  await requireUsableStateFolder(dir);
  await createStateFolder(dir);
  const lock = acquireFolderLock(dir);
  try {
    // Looked at again under the lock: another process may have made or cleared it meanwhile.
    const found = await requireUsableStateFolder(dir);
    if (found.kind !== 'ours') await writeFormat(dir);
    else if (options.reset) {
      await resetStateFolder(dir);
      output.note(`cleared ${dir}`);
    }
    await requireKind(dir, options.parties);
    await removeNodeFile(dir);
    return lock;
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function requireKind(dir: string, parties: number): Promise<void> {
  const held = (await readQuorumFile(dir))?.parties;
  const cure = 'choose another folder with --dir, or clear this one with --reset';
  if (held !== undefined && held !== parties) {
    const wanted = parties === 1 ? 'a single node' : `${parties} parties`;
    const start = `start it with 'arca dev --parties ${held}', or ${cure}`;
    throw failure('STATE_INVALID', `${dir} holds a quorum of ${held} parties, not ${wanted}`, start, { dir });
  }
  if (parties === 1 || held !== undefined) return;
  if (await holdsNode(dir)) {
    throw failure('STATE_INVALID', `${dir} holds a single node, not a quorum of ${parties}`, cure, { dir });
  }
  await writeQuorumFile(dir, { parties });
}
