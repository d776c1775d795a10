/**
 * Accepted plans are played by parties who act whenever they like within each step, under the connection rule itself:
 * a party trusts what the set in force on it lists at that instant. Refused plans must name a refusal that this rule
 * confirms.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  type ReleaseEntry,
  type ReleaseSet,
  type UpgradeOptions,
  type UpgradePlan,
  upgradePlan,
} from '../../../../attestation/governance/index.ts';
import { toHex } from '../../../../common/bytes.ts';
import { present } from '../../../helpers/present.ts';
import { coreEntry, DAY_MS, engineEntry, MAINNET, NOW_MS } from './fixtures.ts';

const OPTIONS: UpgradeOptions = { nowMs: NOW_MS, delayMs: 3 * DAY_MS, stepMs: DAY_MS };
const setOf = (version: number, ...entries: ReleaseEntry[]): ReleaseSet => ({ version, network: MAINNET, entries });
const accepted = (plan: UpgradePlan) => (plan.ok ? plan : present<Extract<UpgradePlan, { ok: true }>>(undefined));
const refused = (plan: UpgradePlan) => (plan.ok ? present<Extract<UpgradePlan, { ok: false }>>(undefined) : plan);
const A = engineEntry('A');
const B = engineEntry('B');

t.test('with both releases in the new set, the set goes first', async (t) => {
  const plan = accepted(upgradePlan(setOf(1, A), setOf(2, { ...A, supersededBy: 'B' }, B), OPTIONS));
  t.equal(plan.order, 'set-first');
  t.same(
    plan.steps.map(({ action }) => action),
    ['sign', 'apply', 'run'],
  );
  const [, apply, run] = plan.steps;
  t.equal(present(apply).fromMs, NOW_MS);
  t.ok(present(run).fromMs >= NOW_MS + 4 * DAY_MS, 'programs wait for the delay of the last engine');
  t.match(present(run).programs, [{ release: 'B', role: 'engine', pcrs: B.pcrs }]);
});

t.test('with both releases in the old set, the programs go first', async (t) => {
  const plan = accepted(upgradePlan(setOf(1, A, B), setOf(2, B), OPTIONS));
  t.equal(plan.order, 'programs-first');
  t.same(
    plan.steps.map(({ action }) => action),
    ['run', 'sign', 'apply'],
  );
});

t.test('a set that drops what runs while it adds the next release is refused in every order', async (t) => {
  const plan = refused(upgradePlan(setOf(1, A), setOf(2, B), OPTIONS));
  t.same(
    plan.tried.map(({ order }) => order),
    ['set-first', 'programs-first'],
  );
  t.match(plan.tried[0]?.lockOuts, [{ setVersion: 2, release: 'A', reason: 'not-listed' }]);
  t.match(plan.tried[1]?.lockOuts, [{ setVersion: 1, release: 'B', reason: 'not-listed' }]);
});

t.test('an order of steps that somebody insists on is refused if it locks out', async (t) => {
  const options = { ...OPTIONS, order: 'programs-first' } as const;
  const plan = refused(upgradePlan(setOf(1, A), setOf(2, A, B), options));
  t.match(plan.tried, [{ order: 'programs-first', lockOuts: [{ setVersion: 1, release: 'B' }] }]);
});

t.test('an old release that ends before everybody can have moved is refused, with the time', async (t) => {
  const endsMs = NOW_MS + 4.5 * DAY_MS;
  const plan = refused(
    upgradePlan(setOf(1, { ...A, notAfterMs: endsMs }), setOf(2, { ...A, notAfterMs: endsMs }, B), OPTIONS),
  );
  t.match(plan.tried[0]?.lockOuts, [{ release: 'A', reason: 'expired', atMs: endsMs }]);
});

t.test('a new release that is not trusted yet is waited for, if the old one lasts that long', async (t) => {
  const late = { ...B, notBeforeMs: NOW_MS + 20 * DAY_MS };
  const plan = accepted(upgradePlan(setOf(1, A), setOf(2, A, late), OPTIONS));
  t.equal(present(plan.steps[2]).fromMs, late.notBeforeMs);
  const short = { ...A, notAfterMs: NOW_MS + 19 * DAY_MS };
  t.notOk(upgradePlan(setOf(1, short), setOf(2, short, late), OPTIONS).ok);
});

t.test('a role that the new set forgets is refused', async (t) => {
  const plan = refused(upgradePlan(setOf(1, A, coreEntry('A')), setOf(2, A, B), OPTIONS));
  t.match(plan.tried[0]?.lockOuts, [{ role: 'core', release: 'A', reason: 'not-listed' }]);
});

t.test('a set that changes no program is applied alone', async (t) => {
  const plan = upgradePlan(setOf(1, A), setOf(2, { ...A, notAfterMs: A.notAfterMs + DAY_MS }), OPTIONS);
  t.match(plan, { ok: true, order: 'set-only' });
  t.notOk(upgradePlan(setOf(1, A), setOf(2), OPTIONS).ok, 'an empty set locks everybody out');
});

t.test('sets of two networks, versions that do not rise and unknown releases are no upgrade', async (t) => {
  const bad = { ...setOf(1, A), network: 'mainnet-2' };
  t.throws(() => upgradePlan(setOf(1, A), bad, { ...OPTIONS, running: ['Z'] }), {
    code: 'REQUEST_INVALID',
    message: /two networks.*does not come after 1.*neither set has a release Z/,
  });
});

/** Releases of one role with windows around now, none for a role that the network has not. */
const entries = fc
  .subarray(['A', 'B', 'C'], { minLength: 0 })
  .chain((names) =>
    fc.tuple(
      ...names.flatMap((name) =>
        [engineEntry, coreEntry].map((make) =>
          fc
            .record({ from: fc.integer({ min: -9, max: 6 }), days: fc.integer({ min: 1, max: 40 }), there: fc.nat(4) })
            .map(({ from, days, there }) => ({
              there: there > 0,
              entry: make(name, { notBeforeMs: NOW_MS + from * DAY_MS, notAfterMs: NOW_MS + (from + days) * DAY_MS }),
            })),
        ),
      ),
    ),
  )
  .map((list) => list.filter(({ there }) => there).map(({ entry }) => entry));

const fraction = fc.double({ min: 0, max: 1, noNaN: true });
/** When each of four parties acts within each of at most three steps, and which release of several it runs. */
const habits = fc.array(fc.record({ at: fc.array(fraction, { minLength: 3, maxLength: 3 }), pick: fc.nat(10) }), {
  minLength: 4,
  maxLength: 4,
});

type Program = Pick<ReleaseEntry, 'release' | 'role' | 'pcrs'>;
const nameOf = ({ role, pcrs }: Pick<ReleaseEntry, 'role' | 'pcrs'>) =>
  `${role} ${[...pcrs].map(([i, v]) => `${i}=${toHex(v)}`)}`;
/** The connection rule: whole tuple, role, window. */
const trusts = (set: ReleaseSet, program: Pick<ReleaseEntry, 'role' | 'pcrs'>, nowMs: number) =>
  set.entries.some(
    (entry) => nameOf(entry) === nameOf(program) && entry.notBeforeMs <= nowMs && nowMs < entry.notAfterMs,
  );

t.test('in an accepted plan nobody who must talk ever refuses anybody, whenever parties act', async (t) => {
  let acceptedCount = 0;
  let refusedCount = 0;
  const property = fc.property(entries, entries, habits, (oldEntries, newEntries, parties) => {
    const old = setOf(1, ...oldEntries);
    const next = setOf(2, ...newEntries);
    const plan = upgradePlan(old, next, OPTIONS);
    if (!plan.ok) {
      refusedCount++;
      return plan.tried.every(
        ({ lockOuts }) =>
          lockOuts.length > 0 &&
          lockOuts.every((lockOut) => !trusts(lockOut.setVersion === 1 ? old : next, lockOut, lockOut.atMs)),
      );
    }
    acceptedCount++;
    const running = old.entries.filter((entry) => trusts(old, entry, NOW_MS));
    const isRemoval = next.entries.every((entry) =>
      old.entries.some(
        (held) =>
          nameOf(held) === nameOf(entry) &&
          held.notBeforeMs <= entry.notBeforeMs &&
          entry.notAfterMs <= held.notAfterMs,
      ),
    );
    const lives = parties.map(({ at, pick }) => {
      const choose = (list: readonly Program[], role: string) => {
        const ofRole = list.filter((entry) => entry.role === role);
        return ofRole[pick % Math.max(1, ofRole.length)];
      };
      const when = (action: string) => {
        const index = plan.steps.findIndex((step) => step.action === action);
        const step = plan.steps[index];
        return step && step.fromMs + Math.floor((step.untilMs - step.fromMs) * present(at[index]));
      };
      const runMs = when('run') ?? Number.POSITIVE_INFINITY;
      const setMs = present(when('apply')) + (isRemoval ? 0 : OPTIONS.delayMs);
      const targets = plan.steps.find(({ action }) => action === 'run')?.programs ?? [];
      return {
        runMs,
        setMs,
        programs: ['engine', 'core'].map((role) => ({ before: choose(running, role), after: choose(targets, role) })),
      };
    });
    const endMs = Math.max(...plan.steps.map(({ untilMs }) => untilMs));
    const edges = [...old.entries, ...next.entries].flatMap((entry) => [entry.notBeforeMs, entry.notAfterMs]);
    const instants = [NOW_MS, endMs, ...edges, ...lives.flatMap(({ runMs, setMs }) => [runMs, setMs])]
      .flatMap((ms) => [ms - 1, ms])
      .filter((ms) => ms >= NOW_MS && ms <= endMs);
    return instants.every((ms) =>
      lives.every((judge, at) => {
        const set = ms >= judge.setMs ? next : old;
        return lives.every((peer, other) =>
          peer.programs.every(({ before, after }) => {
            const program = ms >= peer.runMs ? (after ?? before) : before;
            if (program === undefined) return true;
            const mustTalk = program.role === 'engine' || at === other;
            return !mustTalk || trusts(set, program, ms);
          }),
        );
      }),
    );
  });
  fc.assert(property, { numRuns: 1_500 });
  t.ok(acceptedCount > 50, `${acceptedCount} accepted`);
  t.ok(refusedCount > 50, `${refusedCount} refused`);
});
