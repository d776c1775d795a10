/** Sets of party numbers in one word. */
import t from 'tap';
import { PartySet } from '../../../enclave/threshold/party-set.ts';

t.test('holds what was put in, once, in order', async (t) => {
  const set = new PartySet([13, 1]);
  for (const party of [4, 1, 4]) set.add(party);
  t.same([...set], [1, 4, 13]);
  t.equal(set.size, 3);
  t.same(
    [0, 1, 2, 4, 13, 14].map((party) => set.has(party)),
    [false, true, false, true, true, false],
  );
});

t.test('numbers that no party has are not in it', async (t) => {
  const set = new PartySet();
  for (const party of [0, -1, 31, 32, 33, 1000]) set.add(party);
  t.same([[...set], set.size, set.has(33), set.has(32)], [[], 0, false, false]);
  set.add(30);
  t.same([...set], [30]);
});
