/** What engines do together waits on the monotonic clock: a wall clock that jumps, or lies, changes nothing there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT, sources } from '../../helpers/import-graph.ts';

const FOLDERS = ['enclave/threshold', 'enclave/mpc', 'enclave/peers', 'enclave/contexts', 'enclave/keys'];
const WALL_CLOCK = /\bclock\.nowMs\b|\bDate\b/;

t.test('no protocol between engines reads the wall clock', async (t) => {
  const files = FOLDERS.flatMap(sources);
  t.ok(files.length > 50, 'the sources were found');
  const reading = files.filter((file) => WALL_CLOCK.test(readFileSync(join(ROOT, file), 'utf8')));
  t.same(reading, []);
  const others = sources('enclave').filter((file) => WALL_CLOCK.test(readFileSync(join(ROOT, file), 'utf8')));
  t.ok(others.length > 0, 'governance does, and would be found');
});
