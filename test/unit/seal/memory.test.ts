/** A stream goes through sealing and opening in bounded memory, and the benchmark that measures it runs. */
import t from 'tap';
import { Figures } from '../../bench/figures.ts';
import { measureSealing } from '../../bench/seal.ts';

t.test('200 MB are sealed and opened within 64 MB', async (t) => {
  const figures = new Figures();
  const said: string[] = [];
  await measureSealing({ figures, say: (line) => said.push(line) }, 200_000_000);
  const found = figures.toRecord();
  t.comment(said.join('; '));
  t.ok((found['seal.memory'] ?? Number.POSITIVE_INFINITY) < 64, 'memory');
  t.ok((found['seal.sealing.megabytes'] ?? 0) > 0 && (found['seal.opening.megabytes'] ?? 0) > 0, 'speed was measured');
});
