/**
 * Takes a state folder for a start: makes it if it is absent, locks it, refuses one that is not ours or not of this kind.
 */
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { failure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readQuorumFile, writeQuorumFile } from '../quorum/quorum-file.ts';
import { readAwsFile } from './aws/aws-file.ts';
import { acquireFolderLock, type FolderLock } from './folder-lock.ts';
import { removeNodeFile } from './node-file.ts';
import {
  createStateFolder,
  holdsNode,
  partyFolder,
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
  /** Vaults lie in emulated AWS; undefined: as the configuration says. */
  readonly aws?: boolean | undefined;
  /** Names that may stand in it before it is ours: the operator's own. */
  readonly expected?: ReadonlySet<string> | undefined;
}

/**
 * Takes a folder, whose format and kind are then written.
 *
 * @returns Its lock, which the caller releases.
 * @throws {@link KmsError} `STATE_INVALID` if it is not ours, or holds another kind of state, `PRECONDITION_FAILED` if it
 *   is in use.
 */
export async function takeStateFolder(dir: string, options: TakeOptions, output: Output): Promise<FolderLock> {
  await requireUsableStateFolder(dir, options.expected);
  await createStateFolder(dir);
  const lock = acquireFolderLock(dir);
  try {
    // Looked at again under the lock: another process may have made or cleared it meanwhile.
    const found = await requireUsableStateFolder(dir, options.expected);
    if (found.kind !== 'ours') await writeFormat(dir);
    else if (options.reset) {
      await resetStateFolder(dir);
      output.note(`cleared ${dir}`);
    }
    await requireKind(dir, options.parties);
    if (options.aws !== undefined) await requireVaults(dir, options.parties, options.aws);
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

/** Keys that lie in files are not found in S3, nor the other way round: such a node would take itself for a new one. */
async function requireVaults(dir: string, parties: number, aws: boolean): Promise<void> {
  const inAws = (await readAwsFile(dir)) !== undefined;
  if (inAws === aws) return;
  const cure = 'choose another folder with --dir, or clear this one with --reset';
  if (inAws) {
    throw failure(
      'STATE_INVALID',
      `${dir} has its vaults in emulated AWS`,
      `start it with 'arca dev --aws', or ${cure}`,
      { dir },
    );
  }
  const folders = parties === 1 ? [dir] : await foldersOf(dir, parties);
  for (const folder of folders) {
    if (await holdsNode(folder)) {
      throw failure('STATE_INVALID', `${dir} has its vaults in files`, `start it without --aws, or ${cure}`, { dir });
    }
  }
}

async function foldersOf(dir: string, parties: number): Promise<readonly string[]> {
  const names = await readdir(dir);
  const folders = Array.from({ length: parties }, (_, index) => partyFolder(dir, index + 1));
  return folders.filter((folder) => names.includes(basename(folder)));
}
