/** The protocols of the threshold engine under many more seeded schedules than the fast suite has time for. */
import t from 'tap';
import { runSchedule, scheduleOf } from '../protocol/schedule.ts';

t.test('2,500 schedules: any t liars, any strategies, 4, 7 and 13 parties', { timeout: 1_800_000 }, async (t) => {
  for (let seed = 1001; seed <= 3500; seed++) await runSchedule(scheduleOf(seed));
  t.pass('2,500 schedules');
});
