/** Whoever lies is named, also if nobody waited for him; and an honest party never is. */
import t from 'tap';
import { askPublic, simRequest } from '../helpers/quorum-requests.ts';
import { changing } from '../helpers/quorum-strategies.ts';
import { SimQuorum, type Strategy } from '../helpers/sim-quorum.ts';

const lies = changing((entry) =>
  entry.what === 'shares' ? [{ ...entry, shares: entry.shares.map((byte) => byte ^ 1) }] : [entry],
);
/** Lies, after everybody else has told the truth. */
const liesLate: Strategy = (frame, to, random) =>
  lies(frame, to, random).map((outgoing) => ({ ...outgoing, delayMs: 60 }));

for (const [n, faults] of [
  [4, 1],
  [7, 2],
  [13, 4],
] as const) {
  const liars = Array.from({ length: faults }, (_, i) => 2 * i + 1);
  const strategies = new Map(liars.map((party) => [party, liesLate]));

  t.test(`n = ${n}: ${faults} liars that come last in a single request are named by all`, async (t) => {
    const sim = new SimQuorum({ n, t: faults, seed: n, delayMs: 2, strategies });
    for (const [number, items] of [1, 3].entries()) {
      const request = simRequest(number, { items });
      for (const result of await sim.run(Promise.all(sim.parties.map((party) => askPublic(party, request))))) {
        t.strictSame(result, request.plaintexts);
      }
      await sim.pass(100);
      const counts = sim.honest.map(({ ledger }) => ledger.of(1).counts['wrong share']);
      t.same(counts, Array(n - faults).fill(number + 1), 'once a request');
    }
    for (const { ledger } of sim.honest) t.same(ledger.liars(), liars);
  });

  t.test(`n = ${n}: honest parties that come late are not named`, async (t) => {
    const slow: Strategy = (frame) => [{ frame, delayMs: 60 }];
    const sim = new SimQuorum({ n, t: faults, seed: n, delayMs: 2, strategies: new Map(liars.map((i) => [i, slow])) });
    for (let number = 0; number < 5; number++) {
      await sim.run(Promise.all(sim.parties.map((party) => askPublic(party, simRequest(number)))));
      await sim.pass(100);
    }
    for (const { ledger } of sim.parties) t.same(ledger.liars(), []);
  });
}

t.test('late shares cost a bounded number of openings a second, and a liar is named nevertheless', async (t) => {
  let openings = 0;
  const { fakeOpenDecryption } = await import('../helpers/fake-threshold.ts');
  const sim = new SimQuorum({
    n: 4,
    t: 1,
    seed: 1,
    delayMs: 2,
    strategies: new Map([[1, liesLate]]),
    limits: { lateChecksPerSecond: 5 },
    open: async (options) => {
      openings += 1;
      return await fakeOpenDecryption(options);
    },
  });
  const requests = Array.from({ length: 100 }, (_, number) => simRequest(number));
  const answers = sim.parties.flatMap((party) => requests.map((request) => askPublic(party, request)));
  await sim.run(Promise.all(answers));
  const before = openings;
  await sim.pass(100);
  t.ok(openings - before <= 3 * 6, `${openings - before} openings of three honest parties`);
  for (const { ledger } of sim.honest) t.same(ledger.liars(), [1]);
});

t.test('shares of opened requests take bounded memory: what is forgotten names nobody', async (t) => {
  const strategies = new Map([[1, liesLate]]);
  const sim = new SimQuorum({ n: 4, t: 1, seed: 1, delayMs: 2, strategies, limits: { lateSharesBytes: 0 } });
  const request = simRequest(1);
  await sim.run(Promise.all(sim.parties.map((party) => askPublic(party, request))));
  await sim.pass(100);
  for (const { ledger } of sim.honest) t.same(ledger.liars(), []);
});
