/** What a peer can cost a quorum: bounded for each peer, without harm to the others. */
import t from 'tap';
import type { QuorumEntry } from '../../enclave/threshold/quorum-frame.ts';
import { announce, engine, sharesOf, want } from '../helpers/lone-engine.ts';
import { simRequest } from '../helpers/quorum-requests.ts';

t.test('requests that nobody waits for any more make room for others', async (t) => {
  const { quorum, ask, hears, settle } = engine({ maxPending: 3 });
  const gone = new AbortController();
  const left = simRequest(1, { kind: 'user' });
  const { name, masked, items } = left;
  const asked = quorum.userDecrypt({ name, masked, items, seal: async () => [1] }, gone.signal);
  const waiting = [2, 3].map((number) => ask(simRequest(number)));
  await settle();
  await t.rejects(ask(simRequest(4)), { code: 'RESOURCE_EXHAUSTED' }, 'all are waited for');
  gone.abort();
  await t.rejects(asked, { code: 'CANCELLED' });
  const fresh = ask(simRequest(4));
  await settle();
  t.equal(quorum.stats().pending, 3);
  for (const party of [2, 3, 4]) hears(party, announce(simRequest(4)), await sharesOf(party, simRequest(4)));
  t.strictSame(await fresh, simRequest(4).plaintexts);
  const again = quorum.userDecrypt({ name, masked, items, seal: async () => [1] }, new AbortController().signal);
  for (const party of [2, 3]) hears(party, announce(left));
  t.same(await again, [1], 'it is begun anew');
  quorum.close();
  t.same(
    (await Promise.allSettled(waiting)).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});

t.test('a peer whose shares fill its room loses them, the others open the requests', async (t) => {
  const { ask, hears, settle, faults } = engine({ sharesBytesPerPeer: 1000 });
  const requests = Array.from({ length: 10 }, (_, i) => simRequest(i));
  const answers = requests.map(ask);
  for (const request of requests) {
    const entry = await sharesOf(4, request);
    hears(4, { ...entry, shares: new Uint8Array(400) } as QuorumEntry);
  }
  t.same(new Set(faults.map(({ party, kind }) => `${party} ${kind}`)), new Set(['4 flood']));
  for (const request of requests) {
    for (const party of [2, 3]) hears(party, announce(request), await sharesOf(party, request));
    await settle(); // the room of honest peers is free again when a request is open
  }
  t.equal((await Promise.all(answers)).length, 10);
});

t.test('a peer that takes nothing costs a bounded queue', async (t) => {
  const { ask, settle, stopTaking, quorum, sent } = engine({ queuedBytesPerPeer: 660 });
  stopTaking();
  for (let i = 0; i < 100; i++) void ask(simRequest(i));
  await settle();
  for (let i = 100; i < 200; i++) void ask(simRequest(i));
  await settle();
  t.equal(sent.length, 30, 'the newest ten of each peer went');
  t.equal(quorum.stats().sent.dropped, 3 * (90 + 90));
});

t.test('what is no frame ends the connection and names the peer', async (t) => {
  const { hearsBytes, hears, dropped, faults } = engine();
  hearsBytes(3, Uint8Array.of(1, 77));
  hearsBytes(2, new Uint8Array());
  t.same(dropped, [3, 2]);
  t.same(
    faults.map(({ party, kind }) => [party, kind]),
    [
      [3, 'malformed frame'],
      [2, 'malformed frame'],
    ],
  );
  hears(1, announce(simRequest(1)));
  hears(9, announce(simRequest(1)));
  t.equal(faults.length, 2, 'strangers are not heard');
});

t.test('on a new connection the announcements that wait are sent again, and no others', async (t) => {
  const { ask, hears, settle, sent, connects } = engine();
  const [done, waiting] = [simRequest(1), simRequest(2)];
  const answer = ask(done);
  for (const party of [2, 3]) hears(party, announce(done), await sharesOf(party, done));
  await settle();
  await answer;
  void ask(waiting);
  await settle();
  sent.length = 0;
  connects(4);
  await settle();
  t.equal(sent.length, 1);
  t.match(sent[0], { to: 4, entry: { what: 'announce' } });
  sent.length = 0;
  hears(4, want(done, 'announcement'));
  await settle();
  t.match(sent, [{ to: 4, entry: { what: 'announce' } }], 'those of ended requests are told when asked for');
});

t.test('own shares of ended requests are kept within bounds, oldest given up first', async (t) => {
  const { ask, hears, settle, sent, quorum, time } = engine({ ownSharesBytes: 1200 });
  const requests = Array.from({ length: 8 }, (_, i) => simRequest(i));
  for (const request of requests) {
    const answer = ask(request);
    for (const party of [2, 3]) hears(party, announce(request), await sharesOf(party, request));
    await settle();
    await answer;
  }
  t.ok(quorum.stats().keptSharesBytes <= 1200);
  sent.length = 0;
  time.nowMs += 1000;
  for (const request of requests) hears(4, want(request, 'shares'));
  await settle();
  t.equal(sent.length, 4, 'the newest four');
});

t.test('a request with more ciphertexts than shares fit in a frame fails with a reason', async (t) => {
  const { ask } = engine();
  await t.rejects(ask(simRequest(1, { items: 4000 })), { code: 'TASK_FAILED', message: /too many ciphertexts/ });
});
