/** When an engine gives its shares out, and what it makes of those of others. */
import t from 'tap';
import { KmsError } from '../../common/errors.ts';
import { announce, engine, sharesOf, want } from '../helpers/lone-engine.ts';
import { simRequest } from '../helpers/quorum-requests.ts';

t.test('no share leaves before 2t + 1 announcements, whoever asks for it and however', async (t) => {
  const { ask, hears, settle, sent } = engine();
  const request = simRequest(1);
  void ask(request);
  await settle();
  hears(2, announce(request), want(request, 'shares'), want(request, 'shares'));
  hears(3, want(request, 'shares'), await sharesOf(3, request));
  hears(4, announce(simRequest(1, { content: 'other' })), want(request, 'shares'), await sharesOf(4, request));
  await settle();
  t.notOk(sent.some(({ entry }) => entry.what === 'shares'));
  hears(3, announce(request));
  await settle();
  t.same(
    sent.flatMap(({ to, entry }) => (entry.what === 'shares' ? [to] : [])).sort(),
    [2, 3],
    'to those who announced',
  );
});

t.test('shares that were missed are given again, at a bounded rate and only of approved requests', async (t) => {
  const { ask, hears, settle, sent, faults, time } = engine({ answersBytesPerSecond: 3000, answerPauseMs: 10 });
  const request = simRequest(1);
  void ask(request);
  hears(2, announce(request));
  hears(3, announce(request));
  await settle();
  sent.length = 0;
  hears(2, want(request, 'shares'));
  await settle();
  t.equal(sent.length, 0, 'too soon after the first time');
  for (let i = 0; i < 1000; i++) {
    time.nowMs += 11;
    for (let j = 0; j < 5; j++) hears(2, want(request, 'shares'), announce(request));
  }
  await settle();
  const bytes = sent.reduce((sum, { entry }) => sum + (entry.what === 'shares' ? entry.shares.byteLength : 0), 0);
  t.ok(bytes <= 3000 * 12, `${bytes} bytes in 11 s`);
  t.ok(bytes > 0);
  t.ok(faults.every(({ party, kind }) => party === 2 && kind === 'flood'));
  time.nowMs += 20;
  sent.length = 0;
  hears(3, want(request, 'shares'));
  await settle();
  t.equal(sent.length, 1, 'another peer is not affected');
});

t.test('other shares after the first are noted, the same ones are not', async (t) => {
  const { ask, hears, settle, faults } = engine();
  const request = simRequest(1);
  void ask(request);
  hears(2, await sharesOf(2, request));
  hears(2, await sharesOf(2, request));
  await settle();
  t.same(faults, []);
  hears(2, await sharesOf(3, request));
  hears(3, await sharesOf(3, request));
  t.match(faults, [{ party: 2, kind: 'revised share' }]);
  t.equal(faults.length, 1);
});

t.test('a bad ciphertext for a user ends its request at once: it holds no room', async (t) => {
  const { quorum } = engine({ maxPending: 2 });
  const never = new AbortController().signal;
  for (let i = 0; i < 10; i++) {
    const { name, masked, items } = simRequest(i, { kind: 'user' });
    const seal = (): Promise<never> => Promise.reject(new KmsError('CIPHERTEXT_INVALID', 'it is none'));
    await t.rejects(quorum.userDecrypt({ name, masked, items, seal }, never), { code: 'CIPHERTEXT_INVALID' });
  }
  t.equal(quorum.stats().pending, 0);
});

t.test('what an engine cannot do at the moment fails, and is tried anew when it is asked again', async (t) => {
  const { quorum, ask, hears } = engine();
  const request = simRequest(1);
  const { name, masked, items } = request;
  for (const [code, remembered] of [
    ['UNAVAILABLE', 0],
    ['CIPHERTEXT_INVALID', 1],
  ] as const) {
    const partialDecrypt = (): Promise<never> => Promise.reject(new KmsError(code, 'not this time'));
    const failed = quorum.publicDecrypt({ name, masked, items, partialDecrypt }, new AbortController().signal);
    await t.rejects(failed, { code });
    t.equal(quorum.stats().remembered, remembered, code);
    if (remembered > 0) await t.rejects(ask(request), { code }, 'it is the same for everybody');
    else {
      const other = simRequest(2);
      const again = ask(other);
      for (const party of [2, 3, 4]) hears(party, announce(other), await sharesOf(party, other));
      t.strictSame(await again, other.plaintexts);
      quorum.forgetEpoch(masked.epochId);
    }
  }
  quorum.close();
});

t.test('shares of a request that nobody asked here are dropped and counted', async (t) => {
  const { hears, quorum } = engine();
  for (let i = 0; i < 50; i++) hears(2, await sharesOf(2, simRequest(i)), want(simRequest(i), 'shares'));
  t.equal(quorum.stats().unknown, 100);
  t.equal(quorum.stats().remembered, 0);
});
