/** The request store: what survives, what is dropped, what runs again. */
import fc from 'fast-check';
import t from 'tap';
import type { Outcome, RequestStore } from '../../../parent/core/store/request-store.ts';
import { open, request } from './open-request-store.ts';
import { idOf } from './requests.ts';
import { storeFile } from './test-core.ts';

const DONE: Outcome = { state: 'done', response: Uint8Array.of(1, 2, 3) };
const FAILED: Outcome = { state: 'failed', code: 'CIPHERTEXT_INVALID', reason: 'not a ciphertext' };
const BODY = Uint8Array.of(9, 9);

t.test('an acknowledged request is there after a restart, with its body', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  const entry = store.begin(request('a'));
  t.equal(entry.acknowledged, false);
  await store.acknowledge(entry, BODY);
  store.close();

  const again = open(t, file);
  const found = again.find('public_decrypt', idOf('a'));
  t.match(found, { state: 'running', acknowledged: true, digest: idOf('a body'), contextId: 'c', epochId: 'e' });
  t.ok(found && Buffer.from(BODY).equals(again.body(found) ?? new Uint8Array(0)));
  t.equal(found && again.bodyBytes(found), BODY.byteLength);
});

t.test('a request that nobody was promised leaves no trace', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  store.begin(request('a'));
  store.drop(store.begin(request('b')));
  t.equal(store.find('public_decrypt', idOf('b')), undefined);
  store.close();
  t.equal(open(t, file).count('public_decrypt').total, 0);
});

t.test('outcomes are there after a restart, bodies are gone', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  const [a, b, c] = [store.begin(request('a')), store.begin(request('b')), store.begin(request('c'))];
  await store.acknowledge(a, BODY);
  await Promise.all([store.settle(a, DONE), store.settle(b, FAILED), store.settle(c, DONE)]);
  t.same(store.outcome(a), { state: 'done', response: new Uint8Array([1, 2, 3]) });
  store.close();

  const again = open(t, file);
  for (const [name, outcome] of [
    ['a', DONE],
    ['b', FAILED],
    ['c', DONE],
  ] as const) {
    const entry = again.find('public_decrypt', idOf(name));
    t.same(entry && again.outcome(entry), outcome, name);
    t.equal(entry && again.body(entry), undefined, 'no body');
    t.equal(entry && again.bodyBytes(entry), 0);
  }
});

t.test('an outcome is told only once it is committed', async (t) => {
  const store = open(t, storeFile(t));
  const entry = store.begin(request('a'));
  const settling = store.settle(entry, DONE);
  t.equal(entry.state, 'running');
  t.equal(store.outcome(entry), undefined);
  const waiting = store.settled(entry);
  await settling;
  await waiting;
  t.equal(entry.state, 'done');
  await store.settle(entry, FAILED);
  t.equal(entry.state, 'done', 'and stays');
});

t.test('a store that was opened with less room lets the oldest answers go, for good', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const name of names) await store.settle(store.begin(request(name)), DONE);
  await store.acknowledge(store.begin(request('running')), BODY);
  store.close();

  const left = (from: RequestStore): string[] =>
    [...names, 'running'].filter((name) => from.find('public_decrypt', idOf(name)));
  const less = open(t, file, { decCapacity: 4, minDecCache: 2 });
  t.same(left(less), ['d', 'e', 'f', 'running']);
  less.close();
  const least = open(t, file, { decCapacity: 2, minDecCache: 2 });
  t.same(left(least), ['e', 'f', 'running'], 'as many as must be kept, and what runs');
  least.close();
  t.same(left(open(t, file)), ['e', 'f', 'running']);
});

t.test('a failed decryption runs again under its id, and a failure of that is forgotten', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  const first = store.begin(request('a'));
  t.throws(() => store.begin(request('a')), { code: 'ALREADY_EXISTS' });
  await store.settle(first, FAILED);
  const second = store.begin(request('a'));
  t.equal(second.state, 'running');
  store.drop(second);
  t.equal(store.find('public_decrypt', idOf('a'))?.state, 'failed', 'dropped: the first failure stands');
  const third = store.begin(request('a'));
  await store.acknowledge(third, BODY);
  await store.settle(third, DONE);
  store.close();
  const again = open(t, file);
  t.equal(again.count('public_decrypt').total, 1);
  t.equal(again.find('public_decrypt', idOf('a'))?.state, 'done');
});

t.test('what made something never runs again under its id', async (t) => {
  const store = open(t, storeFile(t));
  for (const kind of ['keygen', 'crsgen', 'preproc', 'context', 'epoch'] as const) {
    await store.settle(store.begin(request('a', { kind })), FAILED);
    t.throws(() => store.begin(request('a', { kind })), { code: 'ALREADY_EXISTS' }, kind);
  }
});

t.test('drops the oldest finished decryption when full, never too many of them', async (t) => {
  const file = storeFile(t);
  const store = open(t, file, { decCapacity: 4, minDecCache: 2 });
  const names = ['a', 'b', 'c', 'd'];
  const entries = names.map((name) => store.begin(request(name)));
  t.throws(() => store.begin(request('e')), { code: 'RESOURCE_EXHAUSTED' }, 'all four run');
  for (const index of [2, 0]) await store.settle(entries[index] ?? store.begin(request('x')), DONE);
  t.throws(() => store.begin(request('e')), { code: 'RESOURCE_EXHAUSTED' }, 'two finished ones are kept');
  await store.settle(entries[1] ?? store.begin(request('x')), DONE);
  await store.settle(store.begin(request('e')), DONE);
  const left = (from: RequestStore): string[] =>
    ['a', 'b', 'c', 'd', 'e'].filter((name) => from.find('public_decrypt', idOf(name)));
  t.same(left(store), ['a', 'b', 'd', 'e'], 'c finished first');
  t.same(store.count('public_decrypt'), { total: 4, running: 1, capacity: 4 });
  t.equal(store.count('user_decrypt').total, 0, 'the other kind has room of its own');
  store.close();
  t.same(left(open(t, file, { decCapacity: 4, minDecCache: 2 })), ['a', 'b', 'e'], 'and on the disk');
});

t.test('finished requests are dropped in the order in which they finished after a restart too', async (t) => {
  const file = storeFile(t);
  let nowMs = 1000;
  const clock = { nowMs: () => nowMs++, monotonicMs: () => 0 };
  const store = open(t, file, { decCapacity: 3, minDecCache: 0, clock });
  const entries = ['a', 'b', 'c'].map((name) => store.begin(request(name)));
  for (const entry of entries.toReversed()) await store.settle(entry, DONE);
  store.close();
  const again = open(t, file, { decCapacity: 3, minDecCache: 0, clock });
  again.begin(request('d'));
  t.equal(again.find('public_decrypt', idOf('c')), undefined, 'c finished first');
  t.ok(again.find('public_decrypt', idOf('a')));
});

t.test('a preprocessing keeps its body until a key generation uses it up', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  const entry = store.begin(request('p', { kind: 'preproc', insecure: true }));
  await store.acknowledge(entry, BODY);
  await store.settle(entry, DONE);
  store.close();

  const again = open(t, file);
  const found = again.find('preproc', idOf('p'));
  if (!found) throw new Error('the preprocessing is gone');
  t.match(found, { insecure: true, state: 'done', consumedBy: undefined });
  t.ok(again.body(found));
  await again.consume(found, idOf('key'));
  again.close();

  const third = open(t, file);
  const used = third.find('preproc', idOf('p'));
  t.equal(used?.consumedBy, idOf('key'));
  t.same(used && third.outcome(used), DONE, 'its result stays');
  t.equal(used && third.body(used), undefined);
});

t.test('remembers that a request was to be aborted', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  const entry = store.begin(request('k', { kind: 'keygen' }));
  await store.acknowledge(entry);
  await store.markAborting(entry);
  store.close();
  t.match(open(t, file).find('keygen', idOf('k')), { state: 'running', aborting: true });
});

t.test('a retired id is taken, a removed one is free', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  const kind = 'context';
  const [a, b] = [store.begin(request('a', { kind })), store.begin(request('b', { kind }))];
  await Promise.all([store.acknowledge(a, BODY), store.acknowledge(b, BODY)]);
  await Promise.all([store.settle(a, DONE), store.settle(b, DONE)]);
  await store.retire(a);
  store.close();
  const again = open(t, file);
  t.equal(again.find(kind, idOf('a'))?.state, 'deleted');
  t.throws(() => again.begin(request('a', { kind })), { code: 'ALREADY_EXISTS' });
});

t.test('agrees with a model under any sequence of steps and restarts', async (t) => {
  const steps = fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      step: fc.constantFrom('begin', 'acknowledge', 'done', 'fail', 'drop', 'restart'),
    }),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const file = storeFile(t);
      const unlimited = { decCapacity: 100, minDecCache: 100 };
      let store = open(t, file, unlimited);
      const durable = new Map<string, string>();
      for (const { name, step } of sequence) {
        const entry = store.find('public_decrypt', idOf(name));
        const running = entry?.state === 'running' ? entry : undefined;
        if (step === 'begin' && (!entry || entry.state === 'failed')) store.begin(request(name));
        else if (step === 'acknowledge' && running) {
          await store.acknowledge(running, BODY);
          durable.set(name, 'running');
        } else if (step === 'done' && running) {
          await store.settle(running, DONE);
          durable.set(name, 'done');
        } else if (step === 'fail' && running) {
          await store.settle(running, FAILED);
          durable.set(name, 'failed');
        } else if (step === 'drop' && running) store.drop(running);
        else if (step === 'restart') {
          store.close();
          store = open(t, file, unlimited);
          const found = [...store.entries('public_decrypt')].map((e): [string, string] => [e.id, e.state]);
          const wanted = [...durable].map(([key, state]): [string, string] => [idOf(key), state]);
          t.same(new Map(found), new Map(wanted));
          for (const e of store.entries('public_decrypt')) {
            t.equal(store.body(e) !== undefined, e.state === 'running', 'a body while it runs, and no longer');
          }
        }
      }
      store.close();
    }),
    { numRuns: 30 },
  );
  t.pass('30 sequences');
});
