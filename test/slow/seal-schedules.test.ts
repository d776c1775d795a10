/**
 * Twenty thousand random lives of a vault: sealed objects under a manifest, servers that die and are replaced, a storage that
 * fails at random; in memory, and over HTTP in an S3 that fails by itself as well.
 */
import t from 'tap';
import type { FaultPoint } from '../../emulators/s3/faults.ts';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import { seededRandom } from '../helpers/mutate.ts';
import { startS3 } from '../helpers/s3.ts';
import { S3_READ_FAULTS, S3_WRITE_FAULTS } from '../helpers/s3-schedules.ts';
import { runSealSchedules } from '../unit/seal/seal-schedules.ts';

for (let seed = 1; seed <= 5; seed++) {
  t.test(`in memory nothing is lost, mixed or invented (seed ${seed})`, { timeout: 900_000 }, async (t) => {
    const tally = await runSealSchedules({ count: 4000, seed, storage: async () => openMemoryStorage() });
    t.equal(tally.wrong, undefined);
    const { done, failed, died, replaced, refused } = tally;
    t.ok(done > 10_000 && failed > 4000 && died > 500 && replaced > 500 && refused > 100, JSON.stringify(tally));
  });
}

t.test('in S3 nothing is lost, mixed or invented', { timeout: 900_000 }, async (t) => {
  const s3 = await startS3(t, { minPartBytes: 16 });
  const below = seededRandom(77);
  const stale = { kind: 'stale' } as const;
  const tally = await runSealSchedules({
    count: 600,
    seed: 99,
    storage: async (schedule) => {
      s3.fault = undefined;
      const storage = await s3.open({ prefix: `S${schedule}`, attempts: 3, partBytes: 1024 });
      const rate = below(15);
      s3.fault = ({ operation }: FaultPoint) => {
        if (below(100) >= rate) return undefined;
        const faults = operation === 'GetObject' ? [...S3_READ_FAULTS, stale] : S3_WRITE_FAULTS;
        return faults[below(faults.length)];
      };
      return storage;
    },
    onCalm: () => {
      s3.fault = undefined;
    },
  });
  t.equal(tally.wrong, undefined);
  const { done, failed, died, refused } = tally;
  t.ok(done > 1000 && failed > 500 && died > 50 && refused > 10, JSON.stringify(tally));
});
