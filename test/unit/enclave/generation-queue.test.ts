/** One generation at a time: order, aborts in the queue and at work, and the point of no return. */
import t from 'tap';
import { systemClock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { GenerationQueue } from '../../../enclave/fhe/generation-queue.ts';

const quiet = { clock: systemClock, log: createLogger({ name: 'engine', level: 'silent' }) };
const never = new AbortController().signal;

t.test('generations run one at a time, in order of arrival', async (t) => {
  const queue = new GenerationQueue(quiet);
  const trace: string[] = [];
  const job = (name: string) =>
    queue.run(name, never, async () => {
      trace.push(`${name} begins, ${queue.current} has its turn`);
      await new Promise(setImmediate);
      trace.push(`${name} ends`);
      return name;
    });
  t.same(await Promise.all([job('a'), job('b')]), ['a', 'b']);
  t.same(trace, ['a begins, a has its turn', 'a ends', 'b begins, b has its turn', 'b ends']);
  t.same([queue.size, queue.current], [0, '']);
});

t.test('a failed generation gives its turn back', async (t) => {
  const queue = new GenerationQueue(quiet);
  await t.rejects(
    queue.run('a', never, () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  t.equal(await queue.run('b', never, async () => 1), 1);
});

t.test('an abort answers at once, but the turn comes back only when the work has ended', async (t) => {
  const queue = new GenerationQueue(quiet);
  const abort = new AbortController();
  const work = Promise.withResolvers<string>();
  const started = Promise.withResolvers<void>();
  const first = queue.run('a', abort.signal, () => {
    started.resolve();
    return work.promise;
  });
  let began = false;
  const second = queue.run('b', never, async () => {
    began = true;
  });
  await started.promise;
  abort.abort();
  await t.rejects(first, { code: 'ABORTED' });
  t.notOk(began, 'the work of the first goes on');
  t.equal(queue.size, 2);
  work.resolve('too late');
  await second;
  t.ok(began);
  await queue.idle();
  t.equal(queue.size, 0);
});

t.test('one that waits is aborted without ever starting', async (t) => {
  const queue = new GenerationQueue(quiet);
  const abort = new AbortController();
  const work = Promise.withResolvers<void>();
  const first = queue.run('a', never, () => work.promise);
  const second = queue.run('b', abort.signal, async () => t.fail('started'));
  abort.abort();
  await t.rejects(second, { code: 'ABORTED' });
  work.resolve();
  await first;
  await queue.idle();
  await t.rejects(
    queue.run('c', abort.signal, async () => t.fail('started')),
    { code: 'ABORTED' },
  );
});

t.test('after the commit an abort changes nothing, before it the commit is refused', async (t) => {
  const queue = new GenerationQueue(quiet);
  const abort = new AbortController();
  const committed = queue.run('a', abort.signal, async (turn) => {
    turn.commit();
    abort.abort();
    await new Promise(setImmediate);
    return 'done';
  });
  t.equal(await committed, 'done');

  const early = new AbortController();
  let refused: unknown;
  const aborted = queue.run('b', early.signal, async (turn) => {
    early.abort();
    try {
      turn.commit();
    } catch (error) {
      refused = error;
      throw error;
    }
  });
  await t.rejects(aborted, { code: 'ABORTED' });
  await queue.idle();
  t.match(refused, { code: 'ABORTED' });
});
