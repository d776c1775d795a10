/**
 * The one release set of a developer quorum, in the folder of every party: the programs as they are on disk at this start.
 */
import { encodeSigned, type Signed, verifyReleaseSet } from '../../../attestation/governance/index.ts';
import { equalBytes } from '../../../common/bytes.ts';
import type { Clock } from '../../../common/clock.ts';
import { ensureDeveloperRelease, type MeasuredRoles } from '../supervise/developer-release.ts';
import { readIfThere, readOf, writeWhole } from '../supervise/developer-trust.ts';
import { governanceFile, type QuorumTrust } from './quorum-trust.ts';

/**
 * Puts a set that trusts exactly what was measured into every party's folder.
 *
 * @throws {@link KmsError} `STATE_INVALID` naming a file that holds another network's.
 */
export async function ensureQuorumRelease(
  dir: string,
  parties: readonly number[],
  trust: QuorumTrust,
  measured: MeasuredRoles,
  clock: Clock,
  enclaves: readonly ReadonlyMap<number, Uint8Array>[] = [],
): Promise<void> {
  const paths = parties.map((party) => governanceFile(dir, party, 'releases'));
  const [first = ''] = paths;
  // A party that was down when the others took a new set must not bring an old one back into the common form.
  const newest = await readNewest(paths, trust);
  if (newest !== undefined) await writeIfOther(first, encodeSigned(newest));
  await ensureDeveloperRelease(first, trust, measured, clock, enclaves);
  const bytes = await readIfThere(first);
  if (bytes === undefined) return;
  for (const path of paths.slice(1)) await writeIfOther(path, bytes);
}

async function readNewest(
  paths: readonly string[],
  { record }: QuorumTrust,
): Promise<ReturnType<typeof verifyReleaseSet> | undefined> {
  let newest: Signed<ReturnType<typeof verifyReleaseSet>['body']> | undefined;
  for (const path of paths) {
    const bytes = await readIfThere(path);
    if (bytes === undefined) continue;
    const set = await readOf(path, () => verifyReleaseSet(bytes, record.body));
    if (newest === undefined || set.body.version > newest.body.version) newest = set;
  }
  return newest;
}

async function writeIfOther(path: string, bytes: Uint8Array): Promise<void> {
  const there = await readIfThere(path);
  if (there === undefined || !equalBytes(there, bytes)) await writeWhole(path, bytes);
}
