/** Random lives of a vault over a storage that fails; test/slow/seal-schedules.test.ts runs twenty thousand. */
import t from 'tap';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { runSealSchedules } from './seal-schedules.ts';

t.test('whatever fails, dies and is replaced, nothing is lost, mixed or invented', async (t) => {
  const tally = await runSealSchedules({ count: 150, seed: 1, storage: async () => openMemoryStorage() });
  t.equal(tally.wrong, undefined);
  const { done, failed, died, replaced, refused } = tally;
  t.ok(done > 300 && failed > 50 && died > 20 && replaced > 20 && refused > 5, JSON.stringify(tally));
});
