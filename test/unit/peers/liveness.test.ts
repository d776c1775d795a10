/** A peer that says nothing loses its connection; in virtual time. */
import t from 'tap';
import { Liveness } from '../../../enclave/peers/liveness.ts';

/** Parties 2 and 3, of which those in `silent` answer nothing. */
function watch() {
  const state = { nowMs: 0, pings: 0, dropped: [] as string[], silent: new Set<number>(), reachable: [2, 3] };
  let next: { atMs: number; run: () => void } | undefined;
  const liveness = new Liveness({
    random: (sizeBytes) => new Uint8Array(sizeBytes),
    timers: {
      monotonicMs: () => state.nowMs,
      at: (atMs, run) => {
        next = { atMs, run };
        return () => {
          next = undefined;
        };
      },
    },
    send: (to) => {
      state.pings += 1;
      if (!state.silent.has(to)) liveness.heard(to);
    },
    reachable: () => state.reachable,
    drop: (party, reason) => state.dropped.push(`${party} after ${state.nowMs}: ${reason}`),
  });
  const pass = (ms: number): void => {
    const endMs = state.nowMs + ms;
    while (next && next.atMs <= endMs) {
      const { atMs, run } = next;
      state.nowMs = Math.max(state.nowMs, atMs);
      run();
    }
    state.nowMs = Math.max(state.nowMs, endMs);
  };
  return { state, liveness, pass, jump: (ms: number) => (state.nowMs += ms), isOver: () => next === undefined };
}

t.test('peers that answer stay connected for ever', async (t) => {
  const { state, pass, liveness, isOver } = watch();
  pass(3_600_000);
  t.same(state.dropped, []);
  t.equal(state.pings, 720);
  liveness.close();
  t.ok(isOver());
});

t.test('a peer that falls silent is dropped within a minute, the other is not', async (t) => {
  const { state, pass } = watch();
  pass(60_000);
  state.silent.add(3);
  pass(30_000);
  t.same(state.dropped, []);
  pass(30_000);
  t.match(state.dropped, [/^3 after 1[012]0000: the engine of party 3 has said nothing for long$/]);
});

t.test('a peer that reconnects has its time again, and one that is not connected is not watched', async (t) => {
  const { state, pass, liveness } = watch();
  state.silent.add(3);
  pass(40_000);
  liveness.heard(3);
  pass(40_000);
  t.same(state.dropped, []);
  state.reachable = [2];
  pass(600_000);
  t.same(state.dropped, []);
});

t.test('after a sleep of this machine nobody is dropped for it', async (t) => {
  const { state, pass, jump } = watch();
  pass(20_000);
  state.silent.add(2).add(3);
  jump(3_600_000);
  pass(20_000);
  t.same(state.dropped, []);
  pass(60_000);
  t.equal(new Set(state.dropped.map(([party]) => party)).size, 2);
});
