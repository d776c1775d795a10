/** The crates that native parts are built from, as cargo resolves them from the lock file for the image's processor. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { runTool } from './run-tool.ts';

/** A crate. */
export interface Crate {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression. */
  readonly licence: string;
  /** SHA-256 of the package, as the lock file has it. */
  readonly sha256: string;
  /** Where cargo keeps its sources on this machine. */
  readonly folder: string;
}

const TARGET = 'x86_64-unknown-linux-gnu';
const Metadata = z.object({
  packages: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      license: z.string().nullable(),
      source: z.string().nullable(),
      manifest_path: z.string(),
    }),
  ),
});
const Lock = z.object({
  package: z.array(z.object({ name: z.string(), version: z.string(), checksum: z.string().optional() })),
});

/** Returns the crates of native/engine that are not our own, sorted. Fetches their sources if they are not there. */
export async function engineCrates(root: string): Promise<readonly Crate[]> {
  const folder = join(root, 'native/engine');
  const args = ['metadata', '--format-version', '1', '--locked', '--filter-platform', TARGET];
  const text = await runTool('cargo', [...args, '--manifest-path', join(folder, 'Cargo.toml')]);
  const { packages } = Metadata.parse(JSON.parse(text));
  const lock = Lock.parse(parse(await readFile(join(folder, 'Cargo.lock'), 'utf8')));
  const sums = new Map(lock.package.map(({ name, version, checksum }) => [`${name} ${version}`, checksum]));
  return packages
    .filter(({ source }) => source !== null)
    .map(({ name, version, license, manifest_path }) => ({
      name,
      version,
      licence: license ?? 'unknown',
      sha256: sums.get(`${name} ${version}`) ?? '',
      folder: dirname(manifest_path),
    }))
    .sort((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1));
}
