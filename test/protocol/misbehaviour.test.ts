/** Every protocol of the threshold engine, with liars of every kind, in every round: right for every honest party. */
import t from 'tap';
import { PROTOCOL_NAMES, runSchedule, scheduleOf, sweepRounds } from './schedule.ts';

t.test('nobody lies', async (t) => {
  for (const protocol of PROTOCOL_NAMES) {
    for (const [n, threshold] of [
      [4, 1],
      [7, 2],
    ] as const) {
      await runSchedule({ protocol, n, t: threshold, seed: n, liars: new Map(), what: '' });
    }
    t.pass(protocol);
  }
});

t.test('of four parties one lies in one round, every way in every round', async (t) => {
  for (const protocol of PROTOCOL_NAMES) {
    const runs = await sweepRounds(protocol, 4, 1);
    t.pass(`${protocol}: ${runs} schedules`);
  }
});

t.test('schedules of seeds: any t liars, any strategies, 4, 7 and 13 parties', async (t) => {
  for (let seed = 1; seed <= 100; seed++) await runSchedule(scheduleOf(seed));
  t.pass('100 schedules');
});
