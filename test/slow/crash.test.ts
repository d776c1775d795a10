/** Engine and core are killed two hundred times at random moments under a mixed load. */
import t from 'tap';
import { crashRounds } from '../helpers/crash-rounds.ts';

t.setTimeout(30 * 60_000);

t.test('two hundred crashes lose no acknowledged request and change no result', async (t) => {
  t.setTimeout(30 * 60_000);
  await crashRounds(t, { rounds: 200, seed: Number(process.env.CRASH_SEED ?? 2026) });
});
