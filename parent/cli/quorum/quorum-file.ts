/**
 * `quorum.json`: says that a state folder is that of a quorum, and of how many parties. Each party has a state folder of
 * its own below it, `party-1` to `party-n`, which is what the commands for single nodes take.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { failure, hasCode } from '../framework/failure.ts';
import { partyFolder, STATE_FILES } from '../supervise/state-folder.ts';
import { PARTY_COUNTS } from './running-quorum.ts';

const FORMAT = 'arca-quorum';

const QuorumFileSchema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(1),
  parties: z.literal(PARTY_COUNTS),
});

/** What the file says. */
export interface QuorumFile {
  /** n: 3t + 1. */
  readonly parties: number;
}

/** Writes the file in one step. */
export async function writeQuorumFile(dir: string, { parties }: QuorumFile): Promise<void> {
  const path = join(dir, STATE_FILES.quorum);
  const text = JSON.stringify({ format: FORMAT, version: 1, parties });
  await writeFile(`${path}.new`, `${text}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/**
 * Returns what the file of a folder says, undefined if the folder is not that of a quorum.
 *
 * @throws {@link KmsError} `STATE_INVALID` for a damaged file.
 */
export async function readQuorumFile(dir: string): Promise<QuorumFile | undefined> {
  const path = join(dir, STATE_FILES.quorum);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
  const parsed = QuorumFileSchema.safeParse(parseJson(text));
  if (parsed.success) return { parties: parsed.data.parties };
  const cure = 'restore it from a copy, or start over with --reset';
  throw failure('STATE_INVALID', `${path} is damaged`, cure, {}, parsed.error);
}

/** The quorum that a state folder is part of. */
export interface QuorumAround {
  /** Folder of the quorum. */
  readonly dir: string;
  readonly party: number;
  /** How many parties the quorum has. */
  readonly parties: number;
}

/** Returns the quorum that a folder, by its absolute path, holds one party of; undefined if it is no party's. */
export async function quorumAround(dir: string): Promise<QuorumAround | undefined> {
  const around = dirname(dir);
  const party = Number(/^party-([1-9][0-9]?)$/.exec(basename(dir))?.[1] ?? 0);
  if (party === 0 || partyFolder(around, party) !== dir) return undefined;
  const parties = (await readQuorumFile(around))?.parties ?? 0;
  return party <= parties ? { dir: around, party, parties } : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
