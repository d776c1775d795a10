/** Sixty random schedules of faults; test/slow/s3-schedules.test.ts runs four thousand. */
import t from 'tap';
import { runS3Schedules } from '../../helpers/s3-schedules.ts';

t.test('whatever fails, nothing is lost, mixed or invented', async (t) => {
  const { failed, done } = await runS3Schedules(t, 60, 1);
  t.ok(failed > 5 && done > 60, `${failed} operations failed, ${done} did not`);
});
