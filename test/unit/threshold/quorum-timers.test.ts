/** The machine's own timers, as the quorum uses them. */
import t from 'tap';
import { systemClock } from '../../../common/clock.ts';
import { systemQuorumTimers } from '../../../enclave/threshold/quorum-links.ts';

const timers = systemQuorumTimers(() => systemClock.monotonicMs());

t.test('calls back at an instant, unless it is taken back', async (t) => {
  const called: string[] = [];
  const cancel = timers.at(timers.monotonicMs() + 1, () => called.push('cancelled'));
  cancel();
  const startMs = timers.monotonicMs();
  await new Promise<void>((resolve) => timers.at(startMs + 5, resolve));
  t.ok(timers.monotonicMs() - startMs >= 5, 'never before it');
  t.same(called, []);
});

t.test('calls back at the end of a tick, after what was under way', async (t) => {
  const order: string[] = [];
  const ended = new Promise<void>((resolve) =>
    timers.soon(() => {
      order.push('end of the tick');
      resolve();
    }),
  );
  await Promise.resolve().then(() => order.push('under way'));
  await ended;
  t.same(order, ['under way', 'end of the tick']);
});
