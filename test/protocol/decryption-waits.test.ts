/** How long a simulated quorum waits: windows, ten-minute ends, callers that come twice, late, or go away. */
import t from 'tap';
import { fakePartialDecrypt } from '../helpers/fake-threshold.ts';
import { liarsOf } from '../helpers/liars.ts';
import { askPublic, askUser, simRequest } from '../helpers/quorum-requests.ts';
import { STRATEGIES } from '../helpers/quorum-strategies.ts';
import { SimQuorum, type Strategy } from '../helpers/sim-quorum.ts';

t.test('at the window a caller is told to ask again, and does get the answer later', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3 });
  const request = simRequest(1);
  const early = sim.parties.slice(0, 2).map((party) => askPublic(party, request));
  for (const result of await sim.run(Promise.allSettled(early))) {
    t.match(result, { status: 'rejected', reason: { code: 'UNAVAILABLE', facts: { waiting: 'quorum' } } });
    t.match(result, { reason: { message: 'not done yet: asked at 2 of 3 parties' } });
  }
  t.equal(sim.nowMs, 60_000);
  const again = sim.parties.map((party) => askPublic(party, request));
  for (const result of await sim.run(Promise.all(again))) t.strictSame(result, request.plaintexts);
});

t.test('after ten minutes without a quorum a request has failed for good, with the count in the reason', async (t) => {
  const sim = new SimQuorum({ n: 7, t: 2, seed: 3 });
  const requests = [simRequest(1), simRequest(2, { kind: 'user' })] as const;
  for (const party of sim.parties.slice(0, 4)) {
    const answers = [askPublic(party, requests[0]), askUser(party, requests[1])];
    void Promise.allSettled(answers); // told to ask again, which we do below
  }
  await sim.pass(601_000);
  const wanted = { code: 'TASK_FAILED', message: 'asked at 4 of 5 parties' };
  for (const [index, ask] of [askPublic, askUser].entries()) {
    const request = requests[index] ?? requests[0];
    await t.rejects(sim.run(ask(sim.party(1), request), 700_000), wanted);
  }
  const late = sim.parties.slice(4).flatMap((party) => [askPublic(party, requests[0]), askUser(party, requests[1])]);
  void Promise.allSettled(late);
  await sim.pass(10_000);
  // Those who come late hear of all seven; the four have given it up, whoever asks now.
  for (const { party, sharesSent } of sim.parties.slice(0, 4)) t.equal(sharesSent, 0, `party ${party}`);
  await t.rejects(sim.run(askUser(sim.party(1), requests[1]), 700_000), wanted, 'though all have asked by now');
});

t.test('an approved request that lacks shares is given up after ten minutes', async (t) => {
  const silent = STRATEGIES['announces and sends nothing'] as () => Strategy;
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3, strategies: liarsOf(2, silent) });
  const request = simRequest(1);
  for (const party of sim.parties) void Promise.allSettled([askPublic(party, request)]);
  await sim.pass(601_000);
  const failed = { code: 'TASK_FAILED', message: 'shares of 2 of 3 parties' };
  await t.rejects(sim.run(askPublic(sim.party(2), request)), failed);
  t.equal(sim.party(2).quorum.stats().pending, 0);
});

t.test('announcements that came early are kept ten minutes', async (t) => {
  for (const [waitMs, isKept] of [
    [590_000, true],
    [610_000, false],
  ] as const) {
    const limits = { failAfterMs: 10_000_000, askAgainMs: 5_000_000, askAgainMostMs: 5_000_000 };
    const sim = new SimQuorum({ n: 4, t: 1, seed: 3, limits });
    const request = simRequest(1, { kind: 'user' });
    for (const party of sim.parties.slice(0, 2)) void Promise.allSettled([askUser(party, request)]);
    await sim.pass(waitMs);
    const [result] = await sim.run(Promise.allSettled([askUser(sim.party(3), request)]), 2_000_000);
    t.equal(result?.status === 'fulfilled', isKept, `after ${waitMs} ms`);
  }
});

t.test('a party that asks later fails as the others did, and does not wait for shares that nobody gives', async (t) => {
  const partialDecrypt = (party: number) => fakePartialDecrypt(party, party > 2 ? 1 : 0);
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3, partialDecrypt });
  const request = simRequest(1);
  const early = [1, 2, 3].map((party) => askPublic(sim.party(party), request));
  const reasons = (await sim.run(Promise.allSettled(early))).map(
    (result) => result.status === 'rejected' && result.reason,
  );
  t.match(reasons[0], { code: 'ABORTED' });
  await sim.pass(3000);
  await t.rejects(sim.run(askPublic(sim.party(4), request)), { code: 'ABORTED' });
  t.ok(sim.nowMs < 4000, `it failed after ${sim.nowMs - 3000} ms`);
});

t.test('asking twice joins one request; its result is given again', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3, delayMs: 1 });
  const request = simRequest(1);
  const answers = [1, 2, 3, 4, 1, 1].map((party) => askPublic(sim.party(party), request));
  await sim.run(Promise.all(answers));
  const { frames } = sim.party(1);
  t.strictSame(await sim.run(askPublic(sim.party(1), request)), request.plaintexts);
  t.equal(sim.party(1).frames, frames, 'nobody is asked again');
  const user = simRequest(2, { kind: 'user' });
  await sim.run(Promise.all([1, 2, 3, 3].map((party) => askUser(sim.party(party), user))));
  const { publicDecryptions, userDecryptions, maskedBlocks } = sim.party(3).quorum.stats();
  t.same({ publicDecryptions, userDecryptions }, { publicDecryptions: 1, userDecryptions: 2 });
  t.same([...maskedBlocks], [['epoch', 32]], 'each ciphertext was counted once');
});

t.test('a caller that goes away is let go, and the others get their answers', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3 });
  const request = simRequest(1);
  const gone = new AbortController();
  const first = askPublic(sim.party(1), request, gone.signal);
  gone.abort();
  await t.rejects(first, { code: 'CANCELLED' });
  const answers = [2, 3, 4].map((party) => askPublic(sim.party(party), request));
  for (const result of await sim.run(Promise.all(answers))) t.strictSame(result, request.plaintexts);
});

t.test('an engine that stops lets its callers go', async (t) => {
  const sim = new SimQuorum({ n: 4, t: 1, seed: 3 });
  const answer = askPublic(sim.party(1), simRequest(1));
  sim.stop(1);
  await t.rejects(sim.run(answer), { code: 'UNAVAILABLE' });
  await t.rejects(askPublic(sim.party(1), simRequest(2)), { code: 'UNAVAILABLE' });
});
