/** Four thousand random schedules of faults of S3, in batches of one seed each. */
import t from 'tap';
import { runS3Schedules } from '../helpers/s3-schedules.ts';

for (let seed = 100; seed < 102; seed++) {
  t.test(`whatever fails, nothing is lost, mixed or invented (seed ${seed})`, { timeout: 900_000 }, async (t) => {
    const { failed, done } = await runS3Schedules(t, 2000, seed);
    t.ok(failed > 200 && done > 2000, `${failed} operations failed, ${done} did not`);
  });
}
