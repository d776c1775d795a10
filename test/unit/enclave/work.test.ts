/** Bounds on work in flight, and estimates of progress. */
import fc from 'fast-check';
import t from 'tap';
import { Durations, estimate, type ProgressReport, withEstimate } from '../../../enclave/fhe/progress.ts';
import { WorkBudget } from '../../../enclave/service/work-budget.ts';

t.test('a budget is full by number or by bytes, and wakes those that wait', async (t) => {
  const budget = new WorkBudget({ calls: 2, bytes: 100 });
  const woken: string[] = [];
  budget.whenRoom(() => woken.push('at once'));
  budget.take(99);
  t.notOk(budget.full);
  budget.take(1);
  t.ok(budget.full);
  budget.whenRoom(() => woken.push('later'));
  t.same(woken, ['at once']);
  budget.give(1);
  t.same(woken, ['at once', 'later']);
  budget.take(1);
  budget.give(99);
  t.same([budget.calls, budget.bytes, budget.full], [1, 1, false]);
  const idle = budget.whenIdle();
  budget.give(1);
  await idle;
  await budget.whenIdle();
});

t.test('an estimate never reaches its end and never goes back', async (t) => {
  const stretch = { phase: 'x', from: 0.2, to: 0.9, expectedMs: 1_000 };
  const elapsed = fc.double({ min: 0, max: 1e7, noNaN: true });
  fc.assert(
    fc.property(elapsed, elapsed, (a, b) => {
      const [early, late] = [estimate(stretch, Math.min(a, b)), estimate(stretch, Math.max(a, b))];
      return early <= late && early >= 0.2 && late < 0.9;
    }),
  );
  t.equal(estimate(stretch, 0), 0.2);
});

t.test('estimates are reported at once and stop with the work, whatever it comes to', async (t) => {
  const reports: ProgressReport[] = [];
  const clock = { nowMs: () => 0, monotonicMs: () => 500 };
  const stretch = { phase: 'generating', from: 0, to: 1, expectedMs: 1_000 };
  const report = (progress: ProgressReport) => reports.push(progress);
  t.equal(await withEstimate(stretch, { clock, report }, async () => 7), 7);
  await t.rejects(withEstimate(stretch, { clock, report }, () => Promise.reject(new Error('no'))));
  t.same(reports, [
    { phase: 'generating', fraction: 0, estimated: true },
    { phase: 'generating', fraction: 0, estimated: true },
  ]);
});

t.test('durations are learned', async (t) => {
  const durations = new Durations({ keygen: 54_000 });
  t.equal(durations.expected('keygen'), 54_000);
  t.equal(durations.expected('unheard of'), 1_000);
  durations.learn('keygen', 60_000);
  t.equal(durations.expected('keygen'), 60_000);
});
