/**
 * From one release set to the next without locking a party out: who must have what, from when until when.
 *
 * Operators act in any order within a step, so a step is safe only if every set that some party may hold trusts every
 * release that some other may run, for the whole step. Between steps everybody waits for everybody. An order of steps
 * that breaks this is refused with a witness: who would refuse whom, when, and why.
 */
import { KmsError } from '../../common/errors.ts';
import { ROLES, type Role } from '../role.ts';
import { isRemoval, isTrustedAt } from './measurements.ts';
import { isDeveloperNetwork } from './names.ts';
import { tupleKey } from './release-rules.ts';
import type { ReleaseEntry, ReleaseSet } from './release-set.ts';

/** The new set first, the new programs first, or the set alone because no program changes. */
export type UpgradeOrder = 'set-first' | 'programs-first' | 'set-only';

/** What is known of the parties; everything but the time has a default. */
export interface UpgradeOptions {
  readonly nowMs: number;
  /** Delay of a set from its first sight. */
  readonly delayMs: number;
  /** Time that operators get for one step. */
  readonly stepMs: number;
  /** Releases that run today; all that the old set trusts now, if absent. */
  readonly running?: readonly string[] | undefined;
  /** Releases that shall run; those that the new set adds or, if it adds none, those without a successor. */
  readonly target?: readonly string[] | undefined;
  /** Tries this order alone. */
  readonly order?: UpgradeOrder | undefined;
}

/** One step: all parties finish it before anybody begins the next. */
export interface UpgradeStep {
  readonly action: 'sign' | 'apply' | 'run';
  readonly text: string;
  /** Release set that the step is about, for `sign` and `apply`. */
  readonly version: number | undefined;
  /** What to start, for `run`. */
  readonly programs: readonly Pick<ReleaseEntry, 'release' | 'role' | 'pcrs'>[];
  readonly fromMs: number;
  /** By when everybody must have finished. */
  readonly untilMs: number;
}

/** A pair of processes of which one refuses the other. */
export interface LockOut {
  /** Version of the set that the refusing party holds. */
  readonly setVersion: number;
  readonly release: string;
  readonly role: Role;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly atMs: number;
  readonly reason: 'not-listed' | 'not-yet' | 'expired';
  readonly text: string;
}

/** A plan, or why there is none: the witnesses of each order that was tried. */
export type UpgradePlan =
  | { readonly ok: true; readonly order: UpgradeOrder; readonly steps: readonly UpgradeStep[] }
  | {
      readonly ok: false;
      readonly tried: readonly { readonly order: UpgradeOrder; readonly lockOuts: readonly LockOut[] }[];
    };

/**
 * Plans the way from `old` to `next`.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if the sets are of two networks, the version does not rise, or a release
 *   that is named is in neither set.
 */
export function upgradePlan(old: ReleaseSet, next: ReleaseSet, options: UpgradeOptions): UpgradePlan {
  checkSets(old, next, options);
  const scene = sceneOf(old, next, options);
  const orders = options.order === undefined ? ordersFor(scene) : [options.order];
  const tried: { order: UpgradeOrder; lockOuts: readonly LockOut[] }[] = [];
  for (const order of orders) {
    const timeline = timelineOf(order, scene);
    const lockOuts = timeline.needs.flatMap((need) => lockOutOf(need));
    if (lockOuts.length === 0) return { ok: true, order, steps: timeline.steps };
    tried.push({ order, lockOuts });
  }
  return { ok: false, tried };
}

/** Something that must hold: a party with this set trusts one that runs this entry, from here to there. */
interface Need {
  readonly set: ReleaseSet;
  readonly entry: ReleaseEntry;
  readonly fromMs: number;
  readonly untilMs: number;
}

interface Scene {
  readonly old: ReleaseSet;
  readonly next: ReleaseSet;
  readonly running: readonly ReleaseEntry[];
  readonly target: readonly ReleaseEntry[];
  readonly nowMs: number;
  readonly stepMs: number;
  /** 0 where the new set holds at once. */
  readonly delayMs: number;
}

function checkSets(old: ReleaseSet, next: ReleaseSet, { running = [], target = [] }: UpgradeOptions): void {
  const faults: string[] = [];
  if (old.network !== next.network) faults.push(`the sets are of two networks, ${old.network} and ${next.network}`);
  if (next.version <= old.version) faults.push(`version ${next.version} does not come after ${old.version}`);
  const names = new Set([...old.entries, ...next.entries].map(({ release }) => release));
  for (const name of [...running, ...target]) if (!names.has(name)) faults.push(`neither set has a release ${name}`);
  if (faults.length > 0) throw new KmsError('REQUEST_INVALID', `no such upgrade: ${faults.join('; ')}`);
}

function sceneOf(old: ReleaseSet, next: ReleaseSet, options: UpgradeOptions): Scene {
  const { nowMs, stepMs } = options;
  const atOnce = isDeveloperNetwork(next.network) || isRemoval(old, next);
  const running = options.running
    ? namedEntries([old, next], options.running)
    : old.entries.filter((entry) => isTrustedAt(entry, nowMs));
  const known = new Set(old.entries.map(tupleKey));
  const added = next.entries.filter((entry) => !known.has(tupleKey(entry)));
  const target = options.target
    ? namedEntries([next, old], options.target)
    : ROLES.flatMap((role) => targetOf(role, running, added, next));
  return { old, next, running, target, nowMs, stepMs, delayMs: atOnce ? 0 : options.delayMs };
}

/** What shall run in one role: what is new, else what has no successor, else what runs. */
function targetOf(
  role: Role,
  running: readonly ReleaseEntry[],
  added: readonly ReleaseEntry[],
  next: ReleaseSet,
): readonly ReleaseEntry[] {
  const ofRole = (entries: readonly ReleaseEntry[]) => entries.filter((entry) => entry.role === role);
  if (ofRole(added).length > 0) return ofRole(added);
  const lasting = ofRole(next.entries).filter(({ supersededBy }) => supersededBy === undefined);
  return lasting.length > 0 ? lasting : ofRole(running);
}

function namedEntries(sets: readonly ReleaseSet[], names: readonly string[]): readonly ReleaseEntry[] {
  const found = new Map<string, ReleaseEntry>();
  for (const { entries } of sets) {
    for (const entry of entries) {
      if (names.includes(entry.release) && !found.has(tupleKey(entry))) found.set(tupleKey(entry), entry);
    }
  }
  return [...found.values()];
}

function ordersFor({ running, target }: Scene): readonly UpgradeOrder[] {
  const tuples = new Set(running.map(tupleKey));
  return target.every((entry) => tuples.has(tupleKey(entry))) && target.length === running.length
    ? ['set-only']
    : ['set-first', 'programs-first'];
}

function timelineOf(order: UpgradeOrder, scene: Scene): { needs: readonly Need[]; steps: readonly UpgradeStep[] } {
  const { old, next, running, target, nowMs, stepMs, delayMs } = scene;
  const need = (set: ReleaseSet, entries: readonly ReleaseEntry[], fromMs: number, untilMs: number): Need[] =>
    entries.map((entry) => ({ set, entry, fromMs, untilMs }));
  const sign = signStep(scene);
  if (order === 'programs-first') {
    const startMs = Math.max(nowMs, ...beginnings(old, target));
    const runByMs = startMs + stepMs;
    const endMs = runByMs + delayMs + stepMs;
    return {
      needs: [
        ...need(old, running, nowMs, runByMs),
        ...need(old, target, startMs, endMs),
        ...need(next, target, runByMs + delayMs, endMs),
      ],
      steps: [runStep(scene, startMs, runByMs), sign, applyStep(scene, runByMs, runByMs + stepMs)],
    };
  }
  const appliedMs = nowMs + delayMs + stepMs;
  const apply = applyStep(scene, nowMs, nowMs + stepMs);
  if (order === 'set-only') {
    return {
      needs: [...need(old, running, nowMs, appliedMs), ...need(next, running, nowMs + delayMs, appliedMs)],
      steps: [sign, apply],
    };
  }
  const startMs = Math.max(appliedMs, ...beginnings(next, target));
  const endMs = startMs + stepMs;
  return {
    needs: [
      ...need(old, running, nowMs, appliedMs),
      ...need(next, running, nowMs + delayMs, endMs),
      ...need(next, target, startMs, endMs),
    ],
    steps: [sign, apply, runStep(scene, startMs, endMs)],
  };
}

function beginnings(set: ReleaseSet, entries: readonly ReleaseEntry[]): readonly number[] {
  const tuples = new Set(entries.map(tupleKey));
  return set.entries.filter((entry) => tuples.has(tupleKey(entry))).map(({ notBeforeMs }) => notBeforeMs);
}

function lockOutOf({ set, entry, fromMs, untilMs }: Need): LockOut[] {
  const { release, role, pcrs } = entry;
  const key = tupleKey(entry);
  const listed = set.entries.find((candidate) => tupleKey(candidate) === key);
  const at = (atMs: number, reason: LockOut['reason'], why: string): LockOut[] => [
    {
      setVersion: set.version,
      release,
      role,
      pcrs,
      atMs,
      reason,
      text: `from ${new Date(atMs).toISOString()} a party with set ${set.version} refuses the ${role} of one that runs ${release}: ${why}`,
    },
  ];
  if (listed === undefined) return at(fromMs, 'not-listed', `set ${set.version} does not list it`);
  if (fromMs < listed.notBeforeMs) return at(fromMs, 'not-yet', 'it is not trusted yet');
  if (untilMs >= listed.notAfterMs) return at(Math.max(fromMs, listed.notAfterMs), 'expired', 'it has expired');
  return [];
}

function signStep({ next, nowMs, stepMs }: Scene): UpgradeStep {
  const text = `release keys sign set ${next.version}, governance approves it`;
  return { action: 'sign', text, version: next.version, programs: [], fromMs: nowMs, untilMs: nowMs + stepMs };
}

function applyStep({ next, delayMs }: Scene, fromMs: number, untilMs: number): UpgradeStep {
  const wait =
    delayMs === 0 ? 'it holds at once' : `it holds ${delayMs / 3_600_000} h after a party's first sight of it`;
  const text = `every party applies set ${next.version}; ${wait}`;
  return { action: 'apply', text, version: next.version, programs: [], fromMs, untilMs };
}

function runStep({ target }: Scene, fromMs: number, untilMs: number): UpgradeStep {
  const roles = new Map<string, Set<Role>>();
  for (const { release, role } of target) roles.set(release, new Set([...(roles.get(release) ?? []), role]));
  const what = [...roles].map(([release, set]) => `${release} (${[...set].join(', ')})`).join(', ');
  const programs = target.map(({ release, role, pcrs }) => ({ release, role, pcrs }));
  const text = `every party moves to ${what}, one party after the other`;
  return { action: 'run', text, version: undefined, programs, fromMs, untilMs };
}
