/** Decryption by a simulated quorum under 2,000 seeded schedules; the fast suite runs other seeds. */
import t from 'tap';
import { runQuorumSchedule } from '../helpers/quorum-schedules.ts';

t.test('any schedule of any strategy opens right plaintexts (2,000 seeds)', async (t) => {
  for (let seed = 1001; seed <= 3000; seed++) await runQuorumSchedule(seed);
  t.pass('no seed failed');
});
