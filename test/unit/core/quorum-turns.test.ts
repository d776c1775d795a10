/** The line before the engine of a party: bounded, first come first served, nobody kept out by those who wait. */
import fc from 'fast-check';
import t from 'tap';
import { openTurns as open, type Turn, type TurnLimits, type Turns } from '../../../parent/core/rpc/quorum-turns.ts';

const NEVER = new AbortController().signal;

/** A clock that the test moves. */
const clock = { nowMs: () => 0, monotonicMs: () => clock.ms, ms: 0 };
const openTurns = (limits: TurnLimits): Turns => open(clock, 5000, limits);

/** Takes a turn; `granted` says whether it has come. */
function ask(turns: Turns, sizeBytes: number, again = false, signal = NEVER) {
  const turn: { signal?: AbortSignal } = {};
  const asked = { granted: false, end: (): void => undefined, again, sizeBytes, turn };
  const take = ({ end, signal }: Turn): void => {
    asked.granted = true;
    asked.end = end;
    turn.signal = signal;
  };
  const granted = turns.take({ sizeBytes, again, signal });
  if (granted instanceof Promise) void granted.then(take);
  else take(granted);
  return asked;
}

const settle = (): Promise<void> => new Promise(setImmediate);

t.test('grants at once while there is room, in calls and in bytes', async (t) => {
  const turns = openTurns({ calls: 3, bytes: 100, againPart: 3 });
  const asked = [ask(turns, 40), ask(turns, 40), ask(turns, 40)];
  t.strictSame(
    asked.map(({ granted }) => granted),
    [true, true, false],
  );
  t.equal(turns.waiting, 1);
  asked[0]?.end();
  await settle();
  t.ok(asked[2]?.granted);
  t.equal(turns.waiting, 0);
});

t.test('those that wait for other parties leave the rest of the room to fresh ones', async (t) => {
  const turns = openTurns({ calls: 9, bytes: 1e9, againPart: 3 });
  const waiting = Array.from({ length: 100 }, () => ask(turns, 1, true));
  const fresh = Array.from({ length: 6 }, () => ask(turns, 1));
  t.equal(waiting.filter(({ granted }) => granted).length, 3);
  t.ok(fresh.every(({ granted }) => granted));
  const later = ask(turns, 1);
  t.notOk(later.granted);
  for (const { granted, end } of waiting) if (granted) end();
  await settle();
  t.ok(
    waiting.slice(3, 6).every(({ granted }) => granted),
    'they have their part, too',
  );
  t.notOk(later.granted);
  fresh[0]?.end();
  await settle();
  t.ok(later.granted);
});

t.test(
  'whoever has been there for long gives way to fresh ones, the longest first and no more than needed',
  async (t) => {
    const turns = openTurns({ calls: 3, bytes: 1e9, againPart: 3 });
    const first = [ask(turns, 1), ask(turns, 1)];
    clock.ms += 1000;
    first.push(ask(turns, 1));
    const isToEnd = (): boolean[] => first.map(({ turn }) => turn.signal?.aborted ?? false);
    const until = async (done: () => boolean): Promise<void> => {
      while (!done()) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    clock.ms += 60_000;
    ask(turns, 1, true);
    await new Promise((resolve) => setTimeout(resolve, 300));
    t.strictSame(isToEnd(), [false, false, false], 'not for one that waits again');
    const fresh = ask(turns, 1);
    await until(() => isToEnd()[0] === true);
    t.strictSame(isToEnd(), [true, false, false]);
    first[0]?.end();
    await settle();
    first[1]?.end();
    await settle();
    t.ok(fresh.granted);
    clock.ms += 4999;
    const next = ask(turns, 1);
    await until(() => isToEnd()[2] === true);
    t.notOk(fresh.turn.signal?.aborted, 'it has its time');
    first[2]?.end();
    await settle();
    t.ok(next.granted);
  },
);

t.test('those that wait again take turns among themselves', async (t) => {
  const turns = openTurns({ calls: 6, bytes: 1e9, againPart: 3 });
  const fresh = ask(turns, 1);
  const waiting = Array.from({ length: 4 }, () => ask(turns, 1, true));
  clock.ms += 5001;
  while (!waiting[1]?.turn.signal?.aborted) await new Promise((resolve) => setTimeout(resolve, 10));
  t.ok(waiting[0]?.turn.signal?.aborted);
  t.notOk(fresh.turn.signal?.aborted, 'nobody else gives way for them');
  for (const { end } of waiting.slice(0, 2)) end();
  await settle();
  t.ok(waiting.every(({ granted }) => granted));
});

t.test('a request larger than all bounds goes alone', async (t) => {
  const turns = openTurns({ calls: 9, bytes: 100, againPart: 3 });
  const small = ask(turns, 1);
  const large = ask(turns, 1000);
  const next = ask(turns, 1);
  t.notOk(large.granted || next.granted, 'nobody passes it by');
  small.end();
  await settle();
  t.ok(large.granted);
  t.notOk(next.granted);
  large.end();
  large.end();
  await settle();
  t.ok(next.granted);
});

t.test('a node that stops grants every turn, so that all find out', async (t) => {
  const stopping = new AbortController();
  const turns = openTurns({ calls: 1, bytes: 10, againPart: 1 });
  ask(turns, 1);
  const asked = [ask(turns, 1, false, stopping.signal), ask(turns, 1, true, stopping.signal)];
  stopping.abort();
  await settle();
  t.ok(asked.every(({ granted }) => granted));
  t.equal(turns.waiting, 0);
  t.ok(ask(turns, 1, false, stopping.signal).granted, 'and those that come then');
});

t.test('whatever comes, the bounds hold, the order stays and nobody is forgotten', async (t) => {
  const step = fc.record({ sizeBytes: fc.nat(60), again: fc.boolean(), ends: fc.nat(3) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const turns = openTurns({ calls: 6, bytes: 100, againPart: 2 });
      const all: ReturnType<typeof ask>[] = [];
      const held = new Set<ReturnType<typeof ask>>();
      const check = (): void => {
        for (const asked of all) if (asked.granted) held.add(asked);
        for (const asked of done) held.delete(asked);
        const bytes = [...held].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
        const again = [...held].filter((asked) => asked.again);
        if (held.size > 6 || (held.size > 1 && bytes > 100) || again.length > 3) throw new Error('out of bounds');
        for (const isAgain of [true, false]) {
          const line = all.filter((asked) => asked.again === isAgain).map(({ granted }) => granted);
          if (line.lastIndexOf(true) > line.indexOf(false) && line.includes(false)) throw new Error('out of order');
        }
      };
      const done = new Set<ReturnType<typeof ask>>();
      const endOne = async (): Promise<void> => {
        const [first] = held;
        if (!first) return;
        done.add(first);
        first.end();
        await settle();
        check();
      };
      for (const { sizeBytes, again, ends } of steps) {
        all.push(ask(turns, sizeBytes, again));
        check();
        for (let count = 0; count < ends; count++) await endOne();
      }
      while (held.size > 0) await endOne();
      if (all.some(({ granted }) => !granted) || turns.waiting > 0) throw new Error('somebody was forgotten');
    }),
    { numRuns: 50 },
  );
  t.pass('1 property');
});
