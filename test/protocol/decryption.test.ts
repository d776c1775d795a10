/**
 * Decryption by a simulated quorum: whatever up to t parties and the network do, honest parties that are asked open the
 * right plaintexts, and liars are named. Failures print the seed that reproduces them.
 */
import t, { type Test } from 'tap';
import { fakePartialDecrypt } from '../helpers/fake-threshold.ts';
import { liarsOf } from '../helpers/liars.ts';
import { askPublic, askUser, simRequest } from '../helpers/quorum-requests.ts';
import { runQuorumSchedule } from '../helpers/quorum-schedules.ts';
import { STRATEGIES } from '../helpers/quorum-strategies.ts';
import { randomFrom, type SimOptions, SimQuorum, type Strategy } from '../helpers/sim-quorum.ts';

const SIZES = [
  { n: 4, t: 1 },
  { n: 7, t: 2 },
  { n: 13, t: 4 },
] as const;

/** Strategies that the decoder finds out when their shares are among those it is given. */
const LIES = ['wrong share', 'one bit', 'cut shares'];

const BAD_NETWORK = { delayMs: 30, loss: 0.05, double: 0.05 };

async function opensAll(t: Test, options: SimOptions, requests = 4): Promise<SimQuorum> {
  const sim = new SimQuorum(options);
  const all = Array.from({ length: requests }, (_, i) => simRequest(i, { items: 1 + (i % 3) }));
  const opened = Promise.all(sim.honest.map((party) => Promise.all(all.map((request) => askPublic(party, request)))));
  for (const liar of sim.parties) {
    if (sim.honest.includes(liar)) continue;
    for (const request of all) void askPublic(liar, request).catch(() => undefined); // its own answer does not matter
  }
  const results = await sim.run(opened);
  const right = all.map(({ plaintexts }) => plaintexts);
  for (const result of results) t.strictSame(result, right, `right plaintexts (seed ${options.seed})`);
  return sim;
}

for (const { n, t: faults } of SIZES) {
  t.test(`n = ${n}: a quiet network opens in two steps, with one frame for each peer and step`, async (t) => {
    const sim = await opensAll(t, { n, t: faults, seed: n, delayMs: 1 }, 20);
    t.equal(sim.nowMs, 2, 'one step for announcements, one for shares');
    for (const { frames, ledger } of sim.parties) {
      t.ok(frames <= 2 * (n - 1), `${frames} frames for 20 requests`);
      t.same(ledger.liars(), []);
    }
  });

  for (const [name, strategy] of Object.entries(STRATEGIES)) {
    t.test(`n = ${n}: ${faults} parties whose strategy is "${name}" change nothing`, async (t) => {
      for (const network of [{}, BAD_NETWORK]) {
        const strategies = liarsOf(faults, strategy);
        const seed = n * 1000 + name.length;
        const sim = await opensAll(t, { n, t: faults, seed, strategies, ...network });
        for (const { ledger } of sim.honest) {
          t.ok(
            ledger.liars().every((party) => strategies.has(party)),
            `no honest party is named (seed ${seed})`,
          );
        }
      }
    });
  }

  for (const name of LIES) {
    t.test(`n = ${n}: parties whose strategy is "${name}" are named by everyone`, async (t) => {
      const strategies = liarsOf(faults, STRATEGIES[name] as () => Strategy);
      const sim = new SimQuorum({ n, t: faults, seed: n, strategies, delayMs: 20 });
      // One after the other: each liar is at some time among the first to answer.
      for (let number = 0; number < 30; number++) {
        const request = simRequest(number);
        await sim.run(Promise.all(sim.parties.map((party) => askPublic(party, request))));
      }
      for (const { ledger } of sim.honest) t.same(ledger.liars(), [...strategies.keys()]);
    });
  }

  t.test(`n = ${n}: ${faults} parties are dead and the others need no one else`, async (t) => {
    const sim = new SimQuorum({ n, t: faults, seed: 5 });
    for (let i = 0; i < faults; i++) sim.stop(n - i);
    const request = simRequest(1);
    const alive = sim.parties.slice(0, n - faults);
    const results = await sim.run(Promise.all(alive.map((party) => askPublic(party, request))));
    for (const result of results) t.strictSame(result, request.plaintexts);
  });

  t.test(`n = ${n}: ${faults + 1} to ${2 * faults} Cores that ask alone get nothing, 2t + 1 do`, async (t) => {
    for (let asked = faults + 1; asked <= 2 * faults + 1; asked++) {
      const sim = new SimQuorum({ n, t: faults, seed: asked });
      const requests = [simRequest(1), simRequest(2, { kind: 'user' })] as const;
      const [forAll, forUser] = requests;
      const asking = sim.parties.slice(0, asked);
      const answers = asking.flatMap((party) => [askPublic(party, forAll), askUser(party, forUser)]);
      const settled = await sim.run(Promise.allSettled(answers));
      if (asked === 2 * faults + 1) {
        t.ok(
          settled.every(({ status }) => status === 'fulfilled'),
          `${asked} of ${n} ask`,
        );
        continue;
      }
      for (const result of settled) {
        t.match(result, { status: 'rejected', reason: { code: 'UNAVAILABLE' } }, `${asked} of ${n} ask`);
        t.match(result, { reason: { message: new RegExp(`asked at ${asked} of ${2 * faults + 1} parties`) } });
      }
      for (const { sharesSent } of sim.parties) t.equal(sharesSent, 0, 'no share has left');
    }
  });

  t.test(`n = ${n}: exactly 2t + 1 are asked, seconds apart and each in its own order`, async (t) => {
    const sim = new SimQuorum({ n, t: faults, seed: n, ...BAD_NETWORK });
    const requests = [0, 1, 2, 3, 4].map((number) => simRequest(number));
    const random = randomFrom(n);
    const asked = sim.parties.slice(n - 2 * faults - 1);
    const answers = asked.flatMap((party) =>
      requests.map(async (request) => {
        await new Promise<void>((resolve) => sim.later(random() * 8000, resolve));
        t.strictSame(await askPublic(party, request), request.plaintexts);
      }),
    );
    await sim.run(Promise.all(answers));
  });

  t.test(`n = ${n}: more than t wrong shares fail the request with a reason, and nothing hangs`, async (t) => {
    const strategies = liarsOf(faults + 1, STRATEGIES['wrong share'] as () => Strategy);
    const sim = new SimQuorum({ n, t: faults, seed: n, strategies });
    const request = simRequest(1);
    const answers = sim.parties.map((party) => askPublic(party, request));
    for (const result of await sim.run(Promise.allSettled(answers.filter((_, i) => !strategies.has(i + 1))))) {
      t.match(result, { status: 'rejected', reason: { code: 'TASK_FAILED', message: /more than t are wrong/ } });
    }
    await sim.run(Promise.allSettled(answers));
  });
}

t.test('any schedule of any strategy opens right plaintexts (120 seeds)', async (t) => {
  for (let seed = 1; seed <= 120; seed++) await runQuorumSchedule(seed);
  t.pass('no seed failed');
});

t.test('connections that break while a request is in flight are no matter', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 9, delayMs: 20 });
  for (let ms = 0; ms < 300; ms += 10) {
    sim.later(ms, () => sim.cut(1 + ((ms / 10) % 4), 1 + ((ms / 10 + 1 + ((ms / 40) % 3)) % 4)));
  }
  const requests = [1, 2, 3].map((number) => simRequest(number));
  const answers = sim.parties.flatMap((party) => requests.map((request) => askPublic(party, request)));
  const opened = await sim.run(Promise.all(answers));
  t.equal(opened.length, 12);
});

t.test('a party that was down gets what it missed, and serves the next request', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3 });
  const [first, second] = [simRequest(1), simRequest(2)];
  sim.stop(4);
  await sim.run(Promise.all(sim.parties.slice(0, 3).map((party) => askPublic(party, first))));
  sim.restart(4);
  t.strictSame(await sim.run(askPublic(sim.party(4), first)), first.plaintexts, 'shares are the same when asked again');
  sim.stop(1);
  const late = await sim.run(Promise.all(sim.parties.slice(1).map((party) => askPublic(party, second))));
  for (const result of late) t.strictSame(result, second.plaintexts);
});

t.test('another ciphertext under a known id is reported as that, at once and not as a lie', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3, delayMs: 2 });
  const [request, other] = [simRequest(1), simRequest(1, { content: 'other' })];
  const answers = [1, 2, 3].map((party) => askPublic(sim.party(party), request));
  void Promise.allSettled([askPublic(sim.party(4), other)]);
  await sim.run(Promise.all(answers));
  await sim.pass(10);
  for (const { ledger } of sim.parties.slice(0, 3)) {
    t.equal(ledger.of(4).counts['another ciphertext'], 1);
    t.same(ledger.liars(), []);
  }
  for (const party of [1, 2, 3]) t.equal(sim.party(4).ledger.of(party).counts['another ciphertext'], 1);
  await t.rejects(askPublic(sim.party(1), other), { code: 'ALREADY_EXISTS' }, 'one Core cannot ask for both');
});

t.test('one bad ciphertext fails its own request only', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3 });
  const good = simRequest(1);
  const items = [...good.items, { ciphertext: Uint8Array.of(255), fheType: 5, format: 2 }];
  const bad = { ...simRequest(2), items };
  const answers = sim.parties.map((party) => [askPublic(party, good), askPublic(party, bad)]);
  const settled = await sim.run(Promise.all(answers.map((pair) => Promise.allSettled(pair))));
  for (const [first, second] of settled) {
    t.match(first, { status: 'fulfilled' });
    t.match(second, { status: 'rejected', reason: { code: 'CIPHERTEXT_INVALID' } });
  }
});

t.test('parties of different epochs get no plaintext', async (t) => {
  const partialDecrypt = (party: number) => fakePartialDecrypt(party, party > 2 ? 1 : 0);
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3, partialDecrypt });
  const answers = sim.parties.map((party) => askPublic(party, simRequest(1)));
  for (const result of await sim.run(Promise.allSettled(answers))) t.match(result, { status: 'rejected' });
});
