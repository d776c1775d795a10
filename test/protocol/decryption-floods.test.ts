/** What a peer can cost a quorum: bounded for each peer, without harm to the others. */
import t from 'tap';
import { KmsError } from '../../common/errors.ts';
import { FaultLedger, type QuorumFault } from '../../enclave/threshold/fault-ledger.ts';
import { Quorum } from '../../enclave/threshold/quorum.ts';
import { decodeFrame, encodeEntry, encodeFrame, type QuorumEntry } from '../../enclave/threshold/quorum-frame.ts';
import type { QuorumLimits } from '../../enclave/threshold/quorum-limits.ts';
import type { QuorumListener } from '../../enclave/threshold/quorum-links.ts';
import { fakeOpenDecryption, fakePartialDecrypt } from '../helpers/fake-threshold.ts';
import { type SimRequest, simRequest } from '../helpers/quorum-requests.ts';

const N = 4;
const T = 1;

/** One engine whose peers are played by the test. */
function engine(limits: Partial<QuorumLimits> = {}) {
  const sent: { readonly to: number; readonly entry: QuorumEntry }[] = [];
  const dropped: number[] = [];
  const faults: QuorumFault[] = [];
  const due: (() => void)[] = [];
  const time = { nowMs: 0 };
  let listener: QuorumListener | undefined;
  let takes = true;
  const never = new Promise<void>(() => undefined);
  const quorum = new Quorum({
    me: 1,
    n: N,
    t: T,
    links: {
      send: (to, frame) => {
        for (const entry of decodeFrame(frame)) sent.push({ to, entry });
        return takes ? Promise.resolve() : never;
      },
      drop: (party) => dropped.push(party),
      listen: (given) => {
        listener = given;
        return () => undefined;
      },
    },
    timers: { monotonicMs: () => time.nowMs, at: () => () => undefined, soon: (callback) => due.push(callback) },
    open: fakeOpenDecryption,
    ledger: new FaultLedger(
      () => time.nowMs,
      (fault) => faults.push(fault),
    ),
    limits,
  });
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      for (const callback of due.splice(0)) callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return {
    quorum,
    sent,
    dropped,
    faults,
    time,
    settle,
    stopTaking: () => {
      takes = false;
    },
    hears: (from: number, ...entries: QuorumEntry[]) => listener?.onFrame(from, encodeFrame(entries.map(encodeEntry))),
    hearsBytes: (from: number, frame: Uint8Array) => listener?.onFrame(from, frame),
    connects: (party: number) => listener?.onConnected(party),
    ask: ({ name, masked, items }: SimRequest) => {
      const answer = quorum.publicDecrypt(
        { name, masked, items, partialDecrypt: fakePartialDecrypt(1) },
        new AbortController().signal,
      );
      answer.catch(() => undefined);
      return answer;
    },
  };
}

const announce = ({ name }: SimRequest): QuorumEntry => ({ what: 'announce', name });
const want = ({ name }: SimRequest, wanted: 'announcement' | 'shares'): QuorumEntry => ({
  what: 'want',
  digest: name.digest,
  wanted,
});

async function sharesOf(party: number, { name, items }: SimRequest): Promise<QuorumEntry> {
  const shares = Buffer.concat(await fakePartialDecrypt(party)(items));
  return { what: 'shares', tag: name.digest.subarray(0, 16), shares };
}

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

t.test('shares of a request that nobody asked here are dropped and counted', async (t) => {
  const { hears, quorum } = engine();
  for (let i = 0; i < 50; i++) hears(2, await sharesOf(2, simRequest(i)), want(simRequest(i), 'shares'));
  t.equal(quorum.stats().unknown, 100);
  t.equal(quorum.stats().remembered, 0);
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
