/**
 * `keys.json` of the state folder: what this CLI generated and with which parameters, so that a later command
 * picks a key without being told. The node's own list decides what exists; this only adds names to it.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { failure, hasCode } from '../framework/failure.ts';
import { STATE_FILES } from '../supervise/state-folder.ts';

const Entry = z.strictObject({
  kind: z.enum(['key', 'crs']),
  id: z.string().regex(/^[0-9a-f]{64}$/),
  params: z.enum(['test', 'default']),
  createdAt: z.iso.datetime(),
});
const Journal = z.strictObject({ entries: z.array(Entry) });

/** Something that was generated. */
export type JournalEntry = z.infer<typeof Entry>;

/** Returns the entries, oldest first; none if there is no journal. */
export async function readJournal(dir: string): Promise<JournalEntry[]> {
  const path = join(dir, STATE_FILES.journal);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
  try {
    return Journal.parse(JSON.parse(text)).entries;
  } catch (error) {
    throw failure('STATE_INVALID', `${path} is damaged`, `remove it: it only holds names of keys`, {}, error);
  }
}

/** Adds an entry, unless there is one: several parties of one folder may bring the same key. */
export async function addToJournal(dir: string, entry: JournalEntry): Promise<void> {
  const known = await readJournal(dir);
  if (known.some(({ kind, id }) => kind === entry.kind && id === entry.id)) return;
  const entries = [...known, entry];
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, STATE_FILES.journal);
  await writeFile(`${path}.new`, `${JSON.stringify({ entries }, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
