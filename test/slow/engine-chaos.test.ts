/** Networks of engines under hundreds of changes: processes, links, records, certificates that are renewed all the time. */
import t from 'tap';
import { runChaos } from '../helpers/engine-chaos.ts';

for (let seed = 1; seed <= 20; seed++) {
  t.test(`seed ${seed}: whatever happens to engines, links and records, all meet again`, (t) => runChaos(t, seed, 25));
}
