/**
 * How long releases are still trusted, and what people should be told about it: a gauge in seconds, a banner from
 * 14 days before the end, and a word on releases that have a successor.
 */
import type { Role } from '../role.ts';
import { isTrustedAt } from './measurements.ts';
import type { ReleaseEntry, ReleaseSet } from './release-set.ts';

const DAY_MS = 86_400_000;

/** From when on the end of a release is shown, and how loudly; milliseconds before the end, the loudest first. */
export const EXPIRY_LEVELS = [
  { level: 'expired', beforeMs: 0 },
  { level: 'critical', beforeMs: DAY_MS },
  { level: 'warning', beforeMs: 7 * DAY_MS },
  { level: 'notice', beforeMs: 14 * DAY_MS },
] as const;

/** How loudly a release's end is to be shown; `ok` says nothing. */
export type ExpiryLevel = (typeof EXPIRY_LEVELS)[number]['level'] | 'ok';

/** What is to be said of one release in one role. */
export interface ReleaseWarning {
  readonly release: string;
  readonly role: Role;
  readonly level: ExpiryLevel;
  /** Until the release is trusted no more; 0 or less when it is over. */
  readonly secondsToExpiry: number;
  /** Release to move to, if one is named. */
  readonly supersededBy: string | undefined;
  /** One line for people. */
  readonly text: string;
}

/**
 * Returns the whole seconds until a release is trusted no more, negative when it is over, undefined if the set has
 * no such release. With several measurements the last that is trusted, or was, counts.
 *
 * @param role - Only entries of this role, if given.
 */
export function secondsToExpiry(set: ReleaseSet, release: string, nowMs: number, role?: Role): number | undefined {
  const ends = set.entries
    .filter((entry) => entry.release === release && (role === undefined || entry.role === role))
    .map(({ notAfterMs }) => notAfterMs);
  return ends.length === 0 ? undefined : Math.floor((Math.max(...ends) - nowMs) / 1000);
}

/** Returns how loudly an end so far away is to be shown. */
export function expiryLevel(seconds: number): ExpiryLevel {
  return EXPIRY_LEVELS.find(({ beforeMs }) => seconds * 1000 <= beforeMs)?.level ?? 'ok';
}

/**
 * Returns what is to be said of a set, one item for each release and role, the next to end first. Give `running` to
 * hear of that release alone; then its absence from the set is a warning, too.
 */
export function releaseWarnings(
  set: ReleaseSet,
  nowMs: number,
  running?: { readonly release: string; readonly role: Role },
): readonly ReleaseWarning[] {
  const groups = new Map<string, ReleaseEntry[]>();
  for (const entry of set.entries) {
    if (running !== undefined && (entry.release !== running.release || entry.role !== running.role)) continue;
    const name = `${entry.release} ${entry.role}`;
    groups.set(name, [...(groups.get(name) ?? []), entry]);
  }
  const warnings = [...groups.values()].flatMap((entries) => warningOf(set, entries, nowMs));
  if (running !== undefined && groups.size === 0) {
    const text = `${running.release} (${running.role}) is not in release set ${set.version}: no peer trusts it`;
    warnings.push({ ...running, level: 'expired', secondsToExpiry: 0, supersededBy: undefined, text });
  }
  return warnings.sort((a, b) => a.secondsToExpiry - b.secondsToExpiry);
}

/** Returns the lines of the banner: everything from level `notice`, and releases with a successor. */
export function expiryBanner(warnings: readonly ReleaseWarning[]): readonly string[] {
  return warnings
    .filter(({ level, supersededBy }) => level !== 'ok' || supersededBy !== undefined)
    .map(({ text }) => text);
}

function warningOf(set: ReleaseSet, entries: readonly ReleaseEntry[], nowMs: number): ReleaseWarning[] {
  const [first] = entries;
  if (first === undefined) return [];
  const { release, role } = first;
  const seconds = secondsToExpiry(set, release, nowMs, role) ?? 0;
  const supersededBy = entries.find((entry) => entry.supersededBy !== undefined)?.supersededBy;
  const isTrusted = entries.some((entry) => isTrustedAt(entry, nowMs));
  const level = expiryLevel(seconds);
  const until =
    level === 'expired' ? 'expired' : isTrusted ? `expires in ${describeSeconds(seconds)}` : 'is not trusted yet';
  const next = supersededBy === undefined ? '' : `; move to ${supersededBy}`;
  return [
    { release, role, level, secondsToExpiry: seconds, supersededBy, text: `${release} (${role}) ${until}${next}` },
  ];
}

/**
 * Returns a duration in the two units that matter.
 *
 * @example
 * describeSeconds(100_000); // '1 d 3 h'
 */
export function describeSeconds(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const;
  const start = units.findIndex(([, size]) => seconds >= size);
  let rest = Math.max(0, Math.floor(seconds));
  const words: string[] = [];
  for (const [name, size] of units.slice(start === -1 ? 3 : start, start === -1 ? 4 : start + 2)) {
    words.push(`${Math.floor(rest / size)} ${name}`);
    rest %= size;
  }
  return words.join(' ');
}
