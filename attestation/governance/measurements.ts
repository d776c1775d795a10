/**
 * From release sets to the tuples that the verifier compares with documents.
 */
import type { Measurement } from '../document/index.ts';
import { entryShape, tupleKey } from './release-rules.ts';
import type { ReleaseEntry, ReleaseSet } from './release-set.ts';

/** Returns whether an entry is trusted at an instant. */
export function isTrustedAt(entry: Pick<ReleaseEntry, 'notBeforeMs' | 'notAfterMs'>, nowMs: number): boolean {
  return entry.notBeforeMs <= nowMs && nowMs < entry.notAfterMs;
}

/** Returns the measurements that a set trusts at an instant: none for no set, for an empty one, outside all windows. */
export function measurementsOf(set: ReleaseSet | undefined, nowMs: number): readonly Measurement[] {
  return (set?.entries ?? [])
    .filter((entry) => isTrustedAt(entry, nowMs))
    .map((entry) => ({ release: entry.release, platform: entryShape(entry), role: entry.role, pcrs: entry.pcrs }));
}

/**
 * Returns whether `next` only takes trust away from `current`: each of its entries has the role, platform and whole
 * tuple of one of `current` and lies within its window.
 */
export function isRemoval(current: ReleaseSet, next: ReleaseSet): boolean {
  const windows = new Map(current.entries.map((entry) => [tupleKey(entry), entry]));
  return next.entries.every((entry) => {
    const old = windows.get(tupleKey(entry));
    return old !== undefined && old.notBeforeMs <= entry.notBeforeMs && entry.notAfterMs <= old.notAfterMs;
  });
}

/** Measurements of one release of the engine, as key policies name them. */
export interface EngineRelease {
  readonly release: string;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

/** Returns the engines of a set by name, whatever their windows: what a key policy may name. */
export function engineReleases({ entries }: ReleaseSet): readonly EngineRelease[] {
  const engines = entries.filter(({ role }) => role === 'engine').map(({ release, pcrs }) => ({ release, pcrs }));
  return engines.sort((a, b) => (a.release < b.release ? -1 : 1));
}
