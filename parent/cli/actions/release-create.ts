/**
 * What `arca release create` does.
 */
import {
  bodyDigest,
  encodeSigned,
  isDeveloperNetwork,
  makeReleaseSet,
  proposalDigest,
  proposalFor,
  type ReleaseEntry,
  type ReleasePlatform,
  type ReleaseSet,
  releaseSetToJson,
  shapeOf,
} from '../../../attestation/governance/index.ts';
import { ROLES, type Role } from '../../../attestation/role.ts';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readMeasurement } from '../governance/measurement-files.ts';
import { parseNumber, parseTime } from '../governance/numbers.ts';
import { readObject, writeNewFile } from '../governance/object-files.ts';
import { describeSet } from '../governance/release-report.ts';

interface CreateOptions extends Readonly<Partial<Record<Role, readonly string[] | undefined>>> {
  readonly previous?: string | undefined;
  readonly network?: string | undefined;
  readonly versionNumber?: string | undefined;
  readonly release?: string | undefined;
  readonly anchor?: string | undefined;
  readonly notBefore?: string | undefined;
  readonly notAfter?: string | undefined;
  readonly days?: string | undefined;
  readonly extend?: readonly string[] | undefined;
  readonly supersede?: readonly string[] | undefined;
  readonly remove?: readonly string[] | undefined;
  readonly out: string;
  readonly force?: true | undefined;
}

const DAY_MS = 86_400_000;

/** `arca release create`. */
export async function runCreate(options: CreateOptions, output: Output): Promise<void> {
  const previous =
    options.previous === undefined ? undefined : (await readObject(options.previous, 'release-set')).body;
  const network = options.network ?? previous?.network;
  if (network === undefined) throw usageFailure('needs a network', 'give --network ID, or --previous FILE');
  const kept = extended(withoutReleases(previous?.entries ?? [], options.remove ?? []), options);
  const added = await addedEntries(options, network);
  const version =
    options.versionNumber === undefined
      ? (previous?.version ?? 0) + 1
      : parseNumber(options.versionNumber, '--version-number');
  const entries = superseded([...kept, ...added], options.supersede ?? []);
  if (previous !== undefined && version <= previous.version) {
    throw usageFailure(`version ${version} does not come after ${previous.version}`, 'leave --version-number out');
  }
  const set = makeReleaseSet({ version, network, entries });
  await writeNewFile(options.out, encodeSigned(set), options.force === true);
  if (set.body.entries.length === 0) output.warn('the set has no entries: under it nobody trusts anybody');
  output.result(
    {
      releaseSet: { body: releaseSetToJson(set.body), signatures: [], approvals: [] },
      digest: toHex(bodyDigest(set)),
      proposalDigest: toHex(proposalDigest(proposalFor('release-set', set))),
    },
    describeSet(set, systemClock.nowMs()),
  );
}

async function addedEntries(options: CreateOptions, network: string): Promise<readonly ReleaseEntry[]> {
  const files = ROLES.flatMap((role) => (options[role] ?? []).map((path) => ({ role, path })));
  if (files.length === 0) {
    if (options.release === undefined) return [];
    throw usageFailure('a release needs a measurement', 'give --engine FILE, --core FILE or --connector FILE');
  }
  const { release } = options;
  if (release === undefined) throw usageFailure('measurements need the name of their release', 'give --release NAME');
  const window = windowOf(options);
  return await Promise.all(
    files.map(async ({ role, path }) => ({
      release,
      platform: platformOf(role, network),
      role,
      pcrs: await readMeasurement(path, role, options.anchor),
      ...window,
    })),
  );
}

function platformOf(role: Role, network: string): ReleasePlatform {
  return isDeveloperNetwork(network) ? 'developer' : shapeOf(role);
}

function windowOf({ notBefore, notAfter, days }: CreateOptions): Pick<ReleaseEntry, 'notBeforeMs' | 'notAfterMs'> {
  const notBeforeMs = notBefore === undefined ? systemClock.nowMs() : parseTime(notBefore, '--not-before');
  if ((notAfter === undefined) === (days === undefined)) {
    throw usageFailure('needs one end of its trust', 'give --not-after TIME or --days N');
  }
  const notAfterMs =
    notAfter === undefined
      ? notBeforeMs + parseNumber(days ?? '', '--days') * DAY_MS
      : parseTime(notAfter, '--not-after');
  return { notBeforeMs, notAfterMs };
}

function withoutReleases(entries: ReleaseSet['entries'], names: readonly string[]): readonly ReleaseEntry[] {
  for (const name of names) requireRelease(entries, name, '--remove');
  return entries.filter(({ release }) => !names.includes(release)).map((entry) => withoutLostSuccessor(entry, names));
}

/** The same measurements, trusted for longer or shorter. */
function extended(entries: readonly ReleaseEntry[], options: CreateOptions): readonly ReleaseEntry[] {
  const { extend = [] } = options;
  if (extend.length === 0) return entries;
  for (const name of extend) requireRelease(entries, name, '--extend');
  const { notAfterMs } = windowOf(options);
  return entries.map((entry) => (extend.includes(entry.release) ? { ...entry, notAfterMs } : entry));
}

/** A successor that leaves the set is none any more. */
function withoutLostSuccessor(entry: ReleaseEntry, removed: readonly string[]): ReleaseEntry {
  if (entry.supersededBy === undefined || !removed.includes(entry.supersededBy)) return entry;
  const { supersededBy: _, ...rest } = entry;
  return rest;
}

function superseded(entries: readonly ReleaseEntry[], pairs: readonly string[]): readonly ReleaseEntry[] {
  return pairs.reduce((list, pair) => {
    const [old = '', next = ''] = pair.split('=');
    requireRelease(list, old, '--supersede');
    requireRelease(list, next, '--supersede');
    const roles = new Set(list.filter(({ release }) => release === next).map(({ role }) => role));
    return list.map((entry) =>
      entry.release === old && roles.has(entry.role) ? { ...entry, supersededBy: next } : entry,
    );
  }, entries);
}

function requireRelease(entries: readonly ReleaseEntry[], name: string, option: string): void {
  if (entries.some(({ release }) => release === name)) return;
  const known = [...new Set(entries.map(({ release }) => release))].join(', ');
  throw failure('REQUEST_INVALID', `${option}: the set has no release '${name}'`, `it has ${known || 'none'}`);
}
