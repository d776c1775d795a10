/**
 * What a restore would do, before it does it: a restore only adds. Public: names and versions.
 */
import type { Manifest, ManifestEntry } from '../seal/manifest.ts';

/** What becomes of one object of the backup. */
export interface PlannedObject {
  readonly object: string;
  /**
   * `add`: it is missing here. `again`: the manifest here names it, and what lies there is not it. `same`, `newer`: it is
   * here, as it is in the backup or written since. `older`: here is an older one, which stays. `removed`: it was removed here.
   */
  readonly action: 'add' | 'again' | 'same' | 'newer' | 'older' | 'removed';
  /** Version in the backup. */
  readonly version: number;
  /** Version here, if it ever was. */
  readonly versionHere: number | undefined;
  readonly bytes: number;
}

/** What a restore goes into, as far as a plan has to know. */
export interface PlanTarget {
  readonly entries: ReadonlyMap<string, ManifestEntry>;
  /** Whether what lies there is the writing that the manifest names. */
  readonly isWhole: (name: string) => Promise<boolean>;
}

/** Returns what would become of each object, in the order in which it is done: the signing key comes last. */
export async function planRestore(
  { entries }: Manifest,
  target: PlanTarget,
  last: string,
): Promise<readonly PlannedObject[]> {
  const planned: PlannedObject[] = [];
  for (const [object, { version, writing }] of [...entries].sort(([a], [b]) => order(a, b, last))) {
    if (writing === undefined) continue;
    const here = target.entries.get(object);
    const facts = { object, version, versionHere: here?.version, bytes: writing.sizeBytes };
    planned.push({ ...facts, action: await actionFor(object, version, here, target) });
  }
  return planned;
}

/** Whether a planned object is written. */
export const isWritten = ({ action }: PlannedObject): boolean => action === 'add' || action === 'again';

async function actionFor(
  name: string,
  version: number,
  here: ManifestEntry | undefined,
  { isWhole }: PlanTarget,
): Promise<PlannedObject['action']> {
  if (here === undefined) return 'add';
  // A removal is a writing, too: it was decided later, or the backup has a later one than this vault ever saw.
  if (here.writing === undefined) return here.version >= version ? 'removed' : 'older';
  if (here.version < version) return 'older';
  if (!(await isWhole(name))) return 'again';
  return here.version === version ? 'same' : 'newer';
}

function order(a: string, b: string, last: string): number {
  if ((a === last) !== (b === last)) return a === last ? 1 : -1;
  return a < b ? -1 : 1;
}
