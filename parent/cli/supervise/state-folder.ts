/**
 * The state folder of a node (`--dir`): recognizes ours by `format.json`, creates an empty one, refuses the rest.
 *
 * Nothing is ever deleted here but by {@link resetStateFolder}, which removes the entries it knows from a folder
 * that is ours and locked by the caller. Layout: docs/cli.md.
 */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { NodeConfig } from '../../../common/node-config.ts';
import { failure, hasCode } from '../framework/failure.ts';

/** The version of the folder's layout that this program writes. */
export const STATE_VERSION = 1;
const FORMAT_NAME = 'arca-state';

/** Names of what stands in a state folder. */
export const STATE_FILES = {
  format: 'format.json',
  lock: 'lock.sqlite',
  config: 'node.toml',
  node: 'node.json',
  log: 'node.log',
  enclaveLog: 'enclave.log',
  core: 'core.sqlite',
  publicDigests: 'public-digests.sqlite',
  publicVault: 'public',
  privateVault: 'private',
  governance: 'governance',
  run: 'run',
  users: 'users',
  cache: 'cache',
  drill: 'drill',
  journal: 'keys.json',
  quorum: 'quorum.json',
  down: 'party-down',
  aws: 'aws',
} as const;

/** What stands in the folder of a node that was started, whatever keeps its vaults. */
const HELD_BY_NODES = [STATE_FILES.privateVault, STATE_FILES.publicVault, STATE_FILES.core];
/** Folders of a quorum's parties. */
const PARTY_FOLDER = /^party-[1-9]\d{0,2}$/;
const FORMAT_TEMP = `${STATE_FILES.format}.new`;
/** May stand in a folder whose creation was cut short before anything of value was in it. */
const CREATION_LEFTOVERS: ReadonlySet<string> = new Set([FORMAT_TEMP, STATE_FILES.lock, `${STATE_FILES.lock}-journal`]);

const NONE: ReadonlySet<string> = new Set();

/**
 * Returns what an operator puts into the state folder before the first start: the configuration, governance, the image. Vaults and
 * databases are not among it: where they are and the format is not, something was lost.
 *
 * @param file - Path of the configuration.
 */
export function entriesNamedBy({ attestation, enclave, state }: NodeConfig, file: string): ReadonlySet<string> {
  const dir = dirname(state.path);
  const inside = [resolve(file), ...pathsIn([attestation, enclave])].map((path) => relative(dir, path));
  return new Set(
    inside.filter((path) => !path.startsWith('..') && !isAbsolute(path)).map((path) => path.split(sep)[0] ?? ''),
  );
}

function pathsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return isAbsolute(value) ? [value] : [];
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(pathsIn) : [];
}

/** What a look at the folder found; nothing was changed. */
export type StateFolder =
  | { readonly kind: 'absent' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'ours'; readonly version: number }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Looks at a folder without changing it.
 *
 * @param expected - Names that may stand in a folder that is not ours yet, because its operator put them there.
 */
export async function inspectStateFolder(dir: string, expected: ReadonlySet<string> = NONE): Promise<StateFolder> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return { kind: 'absent' };
    if (hasCode(error, 'ENOTDIR')) return { kind: 'refused', reason: 'it is not a folder' };
    throw failure('STATE_INVALID', `cannot read the state folder ${dir}`, 'check its owner and mode', {}, error);
  }
  if (names.every((name) => CREATION_LEFTOVERS.has(name) || expected.has(name))) return { kind: 'empty' };
  if (!names.includes(STATE_FILES.format)) {
    const known = names.filter((name) => !expected.has(name) && Object.values<string>(STATE_FILES).includes(name));
    const foreign = names.filter((name) => !expected.has(name));
    return {
      kind: 'refused',
      reason:
        known.length > 0
          ? `it is half-written: it holds ${known.join(', ')} but no ${STATE_FILES.format}`
          : `it holds files that are not arca's (${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', …' : ''})`,
    };
  }
  return readFormat(await readFile(join(dir, STATE_FILES.format), 'utf8'));
}

function readFormat(text: string): StateFolder {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'refused', reason: `its ${STATE_FILES.format} is half-written (not JSON)` };
  }
  const format = value !== null && typeof value === 'object' && 'format' in value ? value.format : undefined;
  const version = value !== null && typeof value === 'object' && 'version' in value ? value.version : undefined;
  if (format !== FORMAT_NAME || typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1) {
    return { kind: 'refused', reason: `its ${STATE_FILES.format} does not say that it is arca's` };
  }
  return { kind: 'ours', version };
}

/**
 * Throws unless the folder is absent, empty, or ours in a version that this program knows.
 *
 * @throws {@link KmsError} `STATE_INVALID` with what to do; the folder is left as it is.
 */
export async function requireUsableStateFolder(
  dir: string,
  expected: ReadonlySet<string> = NONE,
): Promise<StateFolder> {
  const found = await inspectStateFolder(dir, expected);
  if (found.kind === 'refused') {
    throw failure(
      'STATE_INVALID',
      `${dir} cannot be used as a state folder: ${found.reason}`,
      `nothing was changed; choose another folder with --dir, or move this one away: mv ${dir} ${dir}.old`,
      { dir },
    );
  }
  if (found.kind === 'ours' && found.version > STATE_VERSION) {
    throw failure(
      'STATE_INVALID',
      `${dir} was written by a newer arca: its format is version ${found.version}, this program knows ${STATE_VERSION}`,
      'nothing was changed; use the newer arca, or choose another folder with --dir',
      { dir, version: found.version },
    );
  }
  return found;
}

/** Makes the folder (mode 0700) if it is absent. */
export async function createStateFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw failure('STATE_INVALID', `cannot create the state folder ${dir}`, 'choose another with --dir', {}, error);
  }
}

/** Marks an empty folder as ours, durably and in one step. */
export async function writeFormat(dir: string): Promise<void> {
  const temp = join(dir, FORMAT_TEMP);
  const file = await open(temp, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ format: FORMAT_NAME, version: STATE_VERSION })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temp, join(dir, STATE_FILES.format));
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes the folder ours unless it is: for commands that only keep caches and user keys of a node elsewhere. */
export async function ensureStateFolder(dir: string): Promise<void> {
  const found = await requireUsableStateFolder(dir);
  if (found.kind === 'ours') return;
  await createStateFolder(dir);
  await writeFormat(dir);
}

/** Removes all state but the format and the lock from a folder that is ours. The caller holds the lock. */
export async function resetStateFolder(dir: string): Promise<void> {
  const kept: ReadonlySet<string> = new Set([STATE_FILES.format, STATE_FILES.lock]);
  const names = Object.values<string>(STATE_FILES).filter((name) => !kept.has(name));
  const databases = [STATE_FILES.core, STATE_FILES.publicDigests];
  const sqlite = databases.flatMap((name) => ['-wal', '-shm', '-journal'].map((suffix) => `${name}${suffix}`));
  const parties = (await readdir(dir)).filter((name) => PARTY_FOLDER.test(name));
  const logs = [STATE_FILES.log, STATE_FILES.enclaveLog].map((name) => `${name}.1`);
  for (const name of [...names, ...sqlite, ...logs, ...parties]) {
    await rm(join(dir, name), { recursive: true, force: true });
  }
}

/** Returns the state folder of one party within that of its quorum. */
export function partyFolder(dir: string, party: number): string {
  return join(dir, `party-${party}`);
}

/** Returns whether the state of a single node stands in a folder: its vaults, or what they are attested under. */
export async function holdsNode(dir: string): Promise<boolean> {
  const names = await readdir(dir);
  return HELD_BY_NODES.some((name) => names.includes(name));
}
