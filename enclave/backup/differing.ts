/** What one vault has to copy to be as another: names and versions alone, nothing is opened. */
import { equalBytes } from '../../common/bytes.ts';
import type { ManifestEntry, ManifestPoint } from '../seal/manifest.ts';

type Entries = ReadonlyMap<string, ManifestEntry>;

/**
 * Returns the entries of a private vault that its backup does not have at their version, in the order of their names.
 * What was removed before it was ever copied needs no copy.
 */
export function notCopied(vault: Entries, backup: Entries): [string, ManifestEntry][] {
  return [...vault]
    .filter(([name, { version, writing }]) => {
      const copied = backup.get(name);
      return copied === undefined ? writing !== undefined : copied.version !== version;
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Returns whether two points name one state. */
export function samePoint(a: ManifestPoint | undefined, b: ManifestPoint | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.sequence === b.sequence && equalBytes(a.digest, b.digest);
}
