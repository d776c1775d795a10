/** Work for the pool: it leaves at once while a thread is free, and together when none is. */
import fc from 'fast-check';
import t from 'tap';
import { Gathering, type Outcome } from '../../../native/engine/gathering.ts';

/** A pool whose batches end when they are told to. */
function pool(atATime: number, most: number) {
  const under: { readonly batch: readonly number[]; readonly end: (error?: Error) => void }[] = [];
  const run = (batch: readonly number[]): Promise<readonly Outcome<string>[]> =>
    new Promise((resolve, reject) => {
      const outcomes = batch.map((work) =>
        work < 0 ? { error: new Error(`bad ${work}`) } : { result: `done ${work}` },
      );
      under.push({ batch, end: (error) => (error ? reject(error) : resolve(outcomes)) });
    });
  return { under, gathering: new Gathering<number, string>({ atATime, most, run }) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('it leaves at once while a thread is free, then together, split among the threads', async (t) => {
  const { under, gathering } = pool(2, 4);
  const done = [1, 2, 3, 4, 5, 6, 7].map((work) => gathering.add(work));
  t.same(
    under.map(({ batch }) => batch),
    [[1], [2]],
    'nothing waits for company',
  );
  under[0]?.end();
  await turn();
  t.same(under[2]?.batch, [3, 4, 5], 'half of what waited');
  under[1]?.end();
  await turn();
  t.same(under[3]?.batch, [6], 'and half of the rest, since the first thread may be back sooner');
  under[2]?.end();
  under[3]?.end();
  await turn();
  under[4]?.end();
  t.same(
    await Promise.all(done),
    [1, 2, 3, 4, 5, 6, 7].map((work) => `done ${work}`),
  );
  const later = gathering.add(8);
  t.same(under.at(-1)?.batch, [8], 'the threads are free again');
  under.at(-1)?.end();
  t.equal(await later, 'done 8');
});

t.test('what fails fails alone, and a batch that fails does not stop the next one', async (t) => {
  const { under, gathering } = pool(1, 3);
  const settled = Promise.allSettled([1, -2, 3, 4, 5].map((work) => gathering.add(work)));
  under[0]?.end();
  await turn();
  t.same(under[1]?.batch, [-2, 3, 4], 'no more than the most');
  under[1]?.end();
  await turn();
  under[2]?.end(new Error('the thread is gone'));
  const results = (await settled).map((result) =>
    result.status === 'fulfilled' ? result.value : result.reason.message,
  );
  t.same(results, ['done 1', 'bad -2', 'done 3', 'done 4', 'the thread is gone']);
});

t.test('whatever comes when, everything is done once, in batches that are not too large', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.boolean(), { maxLength: 40 }),
      async (atATime, most, comes) => {
        const { under, gathering } = pool(atATime, most);
        const done: Promise<string>[] = [];
        let ended = 0;
        for (const isNew of comes) {
          if (isNew) done.push(gathering.add(done.length));
          else if (ended < under.length) under[ended++]?.end();
          await turn();
          t.ok(under.length - ended <= atATime);
        }
        for (; ended < under.length; ended++) {
          under[ended]?.end();
          await turn();
        }
        t.same(
          await Promise.all(done),
          done.map((_, work) => `done ${work}`),
        );
        t.same(
          under.flatMap(({ batch }) => batch),
          done.map((_, work) => work),
          'in the order in which it came',
        );
        t.ok(under.every(({ batch }) => batch.length > 0 && batch.length <= most));
      },
    ),
    { numRuns: 100 },
  );
});
