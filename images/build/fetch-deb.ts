/**
 * Fetches packages of Debian by digest, into the cache. The mirrors are those of the machine, read from apt's own files, so
 * no host is written down here; which one answers does not matter, since the digest decides.
 */
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { expectDigest, sha256 } from './digest.ts';
import type { DebPart } from './parts.ts';
import { cacheFolder, runTool } from './run-tool.ts';

/** Downloads with apt's settings of the machine (proxies), without root and without lists. */
const APT_HELPER = '/usr/lib/apt/apt-helper';
const APT_FOLDER = '/etc/apt';

/** Where packages come from and are kept; tests have a mirror of their own. */
export interface FetchOptions {
  readonly mirrors?: readonly string[] | undefined;
  readonly folder?: string | undefined;
}

/**
 * Returns the file of a package; it has the digest of the part.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if no mirror has it any more: mirrors keep current versions only.
 */
export async function fetchDeb(part: DebPart, options: FetchOptions = {}): Promise<string> {
  const folder = options.folder ?? join(cacheFolder(), 'debs');
  const file = join(folder, `${part.sha256.slice(0, 16)}-${basename(part.path)}`);
  const kept = await readFile(file).catch(() => undefined);
  if (kept !== undefined && sha256(kept) === part.sha256) return file;
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, '.fetch-'));
  try {
    const temp = join(work, basename(part.path));
    await download(part, temp, options.mirrors ?? (await readMirrors()));
    await rename(temp, file);
    return file;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function download(part: DebPart, to: string, mirrors: readonly string[]): Promise<void> {
  const refusals: string[] = [];
  for (const mirror of mirrors) {
    try {
      await runTool(APT_HELPER, ['download-file', `${mirror}/${part.path}`, to, `SHA256:${part.sha256}`]);
      expectDigest(part.name, await readFile(to), part.sha256);
      return;
    } catch (error) {
      if (!isKmsError(error)) throw error;
      refusals.push(error.message);
    }
  }
  throw new KmsError(
    'UNAVAILABLE',
    `no mirror has ${part.name} ${part.version}: ${refusals.at(-1) ?? 'apt knows none'}. ARCA_DEBIAN_MIRROR may name ` +
      'one that keeps old versions, as snapshots of the archive do',
  );
}

/** Addresses of mirrors: ARCA_DEBIAN_MIRROR first, then those of the machine, in the order of apt's files. */
async function readMirrors(): Promise<readonly string[]> {
  const { ARCA_DEBIAN_MIRROR: chosen } = process.env;
  const lists = await readdir(join(APT_FOLDER, 'sources.list.d')).catch(() => []);
  const files = [...lists.sort().map((name) => join('sources.list.d', name)), 'sources.list'];
  const texts = await Promise.all(files.map((name) => readFile(join(APT_FOLDER, name), 'utf8').catch(() => '')));
  const found = texts.flatMap((text) => text.split('\n').flatMap(mirrorsOfLine));
  const all = [...(chosen === undefined ? [] : [chosen]), ...found];
  return [...new Set(all.map((mirror) => mirror.replace(/\/+$/, '')))];
}

function mirrorsOfLine(line: string): readonly string[] {
  const [, list] = /^URIs:\s*(.+)$/.exec(line) ?? [];
  if (list !== undefined) return list.trim().split(/\s+/);
  const [, single] = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s/.exec(line) ?? [];
  return single === undefined ? [] : [single];
}
