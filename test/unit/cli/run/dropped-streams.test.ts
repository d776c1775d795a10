/** Dropped streams: all are counted, few are told, and the last count is never lost. */
import t from 'tap';
import { countDropped } from '../../../../parent/cli/run/dropped-streams.ts';

t.test('counts are told as they double, by port and reason', async (t) => {
  const told: [number, string, number][] = [];
  const dropped = countDropped((...count) => told.push(count));
  for (let stream = 0; stream < 100; stream++) dropped.add(7001, 'foreign');
  dropped.add(7001, 'full');
  dropped.add(7000, 'full');
  t.same(
    told.filter(([port, why]) => port === 7001 && why === 'foreign').map(([, , count]) => count),
    [1, 2, 4, 8, 16, 32, 64],
  );
  t.same(told.slice(-2), [
    [7001, 'full', 1],
    [7000, 'full', 1],
  ]);
  dropped.close();
  t.same(told.slice(9), [[7001, 'foreign', 100]], 'what was not told is told at the end, and only that');
  dropped.close();
  t.equal(told.length, 10, 'once');
});
