/**
 * The release set of a developer node: one release, the programs as they are on disk at this start, signed by the
 * node's own keys. Changed sources make a new version of the set; what the old one trusted is trusted no more. A set that lists these
 * programs and another release was applied by the operator, for an upgrade, and stays.
 */
import { createHash } from 'node:crypto';
import {
  encodeSigned,
  type GovernedRecord,
  makeReleaseSet,
  type ReleaseEntry,
  type ReleaseSet,
  signReleaseSet,
  verifyReleaseSet,
  withApproval,
} from '../../../attestation/governance/index.ts';
import type { Role } from '../../../attestation/role.ts';
import { equalBytes } from '../../../common/bytes.ts';
import type { Clock } from '../../../common/clock.ts';
import { packageVersion } from '../../../common/package-version.ts';
import { type DeveloperTrust, readIfThere, readOf, writeWhole } from './developer-trust.ts';

/** Measurements by role: the whole tuples that the set is to trust. */
export type MeasuredRoles = ReadonlyMap<Role, ReadonlyMap<number, Uint8Array>>;

/** One whole tuple: the registers of one program in one role. */
export type MeasuredTuple = readonly [Role, ReadonlyMap<number, Uint8Array>];

const DAY_MS = 86_400_000;
/** Clocks of processes on one machine agree, but for being set back a little. */
const BACKDATED_MS = DAY_MS;
const LIFE_MS = 365 * DAY_MS;
/** A set that ends sooner is replaced at a start, so that a developer never meets the warnings of operators. */
const RENEWED_BEFORE_MS = 60 * DAY_MS;

/**
 * Makes the set at `path` one that trusts what was measured; one made here trusts nothing else.
 *
 * @param enclaves - Engines that run from images, beside the programs of this machine.
 * @returns The name of the release.
 * @throws {@link KmsError} `STATE_INVALID` if the set that is there does not verify under the node's own record.
 */
export async function ensureDeveloperRelease(
  path: string,
  trust: Pick<DeveloperTrust, 'record' | 'releaseKey' | 'governanceKey'>,
  measured: MeasuredRoles,
  clock: Clock,
  enclaves: readonly ReadonlyMap<number, Uint8Array>[] = [],
): Promise<string> {
  const nowMs = clock.nowMs();
  const wanted = [...measured, ...enclaves.map((pcrs): MeasuredTuple => ['engine', pcrs])];
  const release = releaseName(wanted);
  const bytes = await readIfThere(path);
  const known = bytes && (await readOf(path, () => verifyReleaseSet(bytes, trust.record.body)));
  const current = known?.body;
  if (current !== undefined && trustsAll(current, wanted, nowMs)) return current.entries[0]?.release ?? release;
  const entries = wanted.map(
    ([role, pcrs]): ReleaseEntry => ({
      release,
      platform: 'developer',
      role,
      pcrs,
      notBeforeMs: nowMs - BACKDATED_MS,
      notAfterMs: nowMs + LIFE_MS,
    }),
  );
  const { network } = trust.record.body;
  const unsigned = makeReleaseSet({ version: nextVersion(current, trust.record.body, nowMs), network, entries });
  const signed = withApproval('release-set', signReleaseSet(unsigned, trust.releaseKey), trust.governanceKey);
  await writeWhole(path, encodeSigned(signed));
  return release;
}

/**
 * The engine of a node that has been enrolled remembers the sets that it has seen, and takes none that is older: where
 * the file is lost, the seconds since 1970 are beyond all that were counted one by one.
 */
function nextVersion(current: ReleaseSet | undefined, record: GovernedRecord, nowMs: number): number {
  if (current !== undefined) return current.version + 1;
  return record.version > 1 ? Math.floor(nowMs / 1000) : 1;
}

/** Names the release after the package and the measurement: other sources, another name. */
function releaseName(measured: readonly MeasuredTuple[]): string {
  const hash = createHash('sha384');
  for (const [role, pcrs] of measured) {
    hash.update(role);
    for (const [index, value] of pcrs) hash.update(`${index}`).update(value);
  }
  return `${packageVersion()}+dev.${hash.digest('hex').slice(0, 12)}`;
}

function trustsAll(set: ReleaseSet, wanted: readonly MeasuredTuple[], nowMs: number): boolean {
  const isOfOperator = new Set(set.entries.map(({ release }) => release)).size > 1;
  if (set.entries.length !== wanted.length && !isOfOperator) return false;
  const isListed = ([role, values]: MeasuredTuple): boolean =>
    set.entries.some(
      (entry) => entry.role === role && entry.pcrs.size === values.size && sameValues(values, entry.pcrs),
    );
  const inTime = set.entries.every(
    ({ notBeforeMs, notAfterMs }) => notBeforeMs <= nowMs && nowMs + RENEWED_BEFORE_MS < notAfterMs,
  );
  return inTime && wanted.every(isListed);
}

function sameValues(a: ReadonlyMap<number, Uint8Array>, b: ReadonlyMap<number, Uint8Array>): boolean {
  return [...a].every(([index, value]) => equalBytes(value, b.get(index) ?? new Uint8Array()));
}
