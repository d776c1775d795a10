/** Ten crashes under load; two hundred are in test/slow. */
import t from 'tap';
import { crashRounds } from '../helpers/crash-rounds.ts';

t.test('ten crashes lose no acknowledged request and change no result', async (t) => {
  await crashRounds(t, { rounds: 10, seed: 1 });
});
