/** When peers are asked again: soon, unless everything takes long. */
import t from 'tap';
import type { OwnRequest } from '../../../enclave/threshold/approval-book.ts';
import { LiveRequest } from '../../../enclave/threshold/live-request.ts';
import type { Outbox } from '../../../enclave/threshold/outbox.ts';
import { PartySet } from '../../../enclave/threshold/party-set.ts';
import { decodeFrame, encodeFrame } from '../../../enclave/threshold/quorum-frame.ts';
import { Reminders } from '../../../enclave/threshold/reminders.ts';

function setUp() {
  const state = { nowMs: 0, due: [] as { atMs: number; run: () => void }[] };
  const asked: { readonly to: number; readonly what: string; readonly atMs: number }[] = [];
  const expired: LiveRequest[] = [];
  const outbox: Pick<Outbox, 'push'> = {
    push: (to, entry) => {
      for (const { what } of decodeFrame(encodeFrame([entry]))) asked.push({ to, what, atMs: state.nowMs });
    },
  };
  const reminders = new Reminders({
    peers: [2, 3, 4],
    outbox: outbox as Outbox,
    timers: {
      monotonicMs: () => state.nowMs,
      at: (atMs, run) => {
        const event = { atMs, run };
        state.due.push(event);
        return () => void state.due.splice(state.due.indexOf(event), 1);
      },
      soon: (run) => run(),
    },
    limits: { askAgainMs: 100, askAgainMostMs: 800, failAfterMs: 5000 },
    onExpired: (live) => expired.push(live),
  });
  const request = (kind: OwnRequest['kind'] = 'public'): LiveRequest => {
    const own = { kind, idKey: `p${'i'.repeat(32)}`, key: 'k'.repeat(32), sinceMs: state.nowMs, endedMs: undefined };
    return new LiveRequest({ ...own, announcedBy: new PartySet([1, 2]) }, 'epoch', reminders.firstPauseMs);
  };
  const pass = (untilMs: number): void => {
    for (;;) {
      const next = state.due.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (!next || next.atMs > untilMs) break;
      state.due.splice(state.due.indexOf(next), 1);
      state.nowMs = next.atMs;
      next.run();
    }
    state.nowMs = untilMs;
  };
  return { reminders, request, pass, state, asked, expired };
}

t.test('peers that have not announced are asked after pauses that double, and the request is given up', async (t) => {
  const { reminders, request, pass, asked, expired } = setUp();
  const live = request();
  reminders.arm(live);
  pass(6000);
  t.same([...new Set(asked.map(({ to }) => to))], [3, 4]);
  t.same([...new Set(asked.map(({ atMs }) => atMs))], [100, 300, 700, 1500, 2300, 3100, 3900, 4700]);
  t.same([...new Set(asked.map(({ what }) => what))], ['announce', 'want']);
  t.same(expired, [live], 'after five seconds');
});

t.test('where requests take long, peers are asked later; failures teach nothing', async (t) => {
  const { reminders, request, state } = setUp();
  t.equal(reminders.firstPauseMs, 100);
  const endAfter = (ms: number, failure?: unknown): void => {
    const live = request();
    state.nowMs += ms;
    if (failure !== undefined) live.fail(failure);
    reminders.ended(live);
  };
  for (let i = 0; i < 60; i++) endAfter(200);
  t.ok(reminders.firstPauseMs > 390 && reminders.firstPauseMs <= 400, `${reminders.firstPauseMs} ms`);
  for (let i = 0; i < 60; i++) endAfter(600_000);
  t.ok(reminders.firstPauseMs <= 1000, 'never more than a second');
  for (let i = 0; i < 60; i++) endAfter(3, new Error('failed'));
  t.ok(reminders.firstPauseMs > 990);
  for (let i = 0; i < 60; i++) endAfter(3);
  t.equal(reminders.firstPauseMs, 100, 'and soon again');
});

t.test('openings of zero wait without end, whoever has ended is let be', async (t) => {
  const { reminders, request, pass, state, expired } = setUp();
  reminders.arm(request('zero'));
  pass(1_000_000);
  t.same(expired, []);
  t.equal(state.due.length, 1);
  const ended = request();
  ended.own.endedMs = 5;
  reminders.arm(ended);
  t.equal(state.due.length, 1, 'nothing more was set');
});
