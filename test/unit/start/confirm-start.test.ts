/** Starts among the parties of a quorum: confirmed by 2t others, never from a vault that was put back. */
import t from 'tap';
import { present } from '../../helpers/present.ts';
import { phases, snapshot, startScene } from './start-scene.ts';

const CONFIRMED = ['confirmed', 'confirmed', 'confirmed', 'confirmed'];

t.test('parties that start together for the first time confirm each other', async (t) => {
  for (const n of [4, 7]) {
    const quorum = startScene(t, n);
    const parties = await quorum.startAll();
    await quorum.run();
    t.same(new Set(phases(parties)), new Set(['confirmed']), `${n} parties`);
    t.same(quorum.dropped, []);
  }
});

t.test('with t parties away the others come up, and with one more nobody does', async (t) => {
  const quorum = startScene(t, 4);
  const first = await quorum.startAll([1, 2]);
  await quorum.run();
  t.same(phases(first), ['waiting', 'waiting']);
  t.match(present(first[0]).start.report(), { acknowledged: [2], needed: 2, reason: /1 of 2 other parties/ });
  t.throws(() => present(first[0]).start.state.require(), { code: 'UNAVAILABLE' });
  const third = await quorum.start(3);
  await quorum.run();
  t.same(phases([...first, third]), ['confirmed', 'confirmed', 'confirmed']);
});

t.test('all parties killed at once come back without an operator', async (t) => {
  const quorum = startScene(t, 4);
  for (let round = 0; round < 3; round++) {
    const parties = await quorum.startAll();
    await quorum.run();
    t.same(phases(parties), CONFIRMED, `round ${round}`);
    await quorum.kill();
  }
});

t.test('before its start is confirmed an engine changes no object, and remembers others', async (t) => {
  const quorum = startScene(t, 4);
  const [first, second] = await quorum.startAll([1, 2]);
  await quorum.run();
  const entry = { version: 1, writing: { place: '1-a', digest: new Uint8Array(48), sizeBytes: 1 } };
  await t.rejects(present(first).head.advance(new Map([['a', entry]])), { code: 'UNAVAILABLE' });
  const stored = await quorum.openHead(1, 9);
  t.ok(stored.memory.length > 0, 'what it remembers of party 2 is durable');
  t.same(present(first).memory.of(2)?.start.nonce, present(second).nonce);
  await quorum.start(3);
  await quorum.run();
  await present(first).head.advance(new Map([['a', entry]]));
  t.same((await quorum.openHead(1, 9)).entry('a'), entry);
});

t.test(
  'connections of earlier starts are dropped, as soon as the later one is heard of and after own starts',
  async (t) => {
    const quorum = startScene(t, 4);
    await quorum.startAll();
    await quorum.run();
    await quorum.kill([2]);
    await quorum.start(2);
    await quorum.run();
    t.ok(quorum.noted.includes('1 of 2: 2'));
    await quorum.kill();
    quorum.noted.length = 0;
    await quorum.start(1);
    t.ok(quorum.noted.includes('1 of 2: 2'), 'its own vault remembers');
  },
);

t.test('a vault that was put back is refused by name, and the others go on', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  await quorum.kill([1]);
  const putBack = await snapshot(present(quorum.storages.get(1)));
  for (let round = 0; round < 2; round++) {
    const again = await quorum.start(1);
    await quorum.run();
    t.equal(again.start.state.phase, 'confirmed');
    await quorum.kill([1]);
  }
  await putBack(present(quorum.storages.get(1)));
  const old = await quorum.start(1);
  await quorum.run();
  t.equal(old.start.state.phase, 'rolled-back');
  t.throws(() => old.start.state.require(), {
    code: 'STATE_INVALID',
    message: /put back: party \d remembers start 3/,
    facts: { fault: 'rolled-back' },
  });
});

t.test('a vault that was put back by one start, which the next number would hide, is refused as well', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  const putBack = await snapshot(present(quorum.storages.get(1)));
  await quorum.kill([1]);
  await quorum.start(1);
  await quorum.run();
  await quorum.kill([1]);
  await putBack(present(quorum.storages.get(1)));
  const old = await quorum.start(1);
  await quorum.run();
  t.equal(old.incarnation, 2, 'the number that the other start had');
  t.equal(old.start.state.phase, 'rolled-back');
});

t.test('a state written after the start is remembered: the vault cannot be put back behind it', async (t) => {
  const quorum = startScene(t, 4);
  const [first] = await quorum.startAll();
  await quorum.run();
  const putBack = await snapshot(present(quorum.storages.get(1)));
  const entry = { version: 1, writing: { place: '1-a', digest: new Uint8Array(48), sizeBytes: 1 } };
  await present(first).head.advance(new Map([['a', entry]]));
  await quorum.run(10_000);
  await quorum.kill();
  await putBack(present(quorum.storages.get(1)));
  const parties = await quorum.startAll();
  await quorum.run();
  t.same(phases(parties), ['rolled-back', 'confirmed', 'confirmed', 'confirmed'], 'all were killed in between');
});

t.test('a new certificate changes nothing for those who know the start', async (t) => {
  const quorum = startScene(t, 4);
  const [first, second] = await quorum.startAll();
  await quorum.run();
  const before = present(first).own.current?.start.leaf;
  present(first).newCertificate();
  const entry = { version: 1, writing: { place: '1-a', digest: new Uint8Array(48), sizeBytes: 1 } };
  const { sequence } = await present(first).head.advance(new Map([['a', entry]]));
  await quorum.run();
  const known = present(second).memory.of(1)?.start;
  t.equal(known?.manifest.sequence, sequence, 'what it writes is remembered');
  t.notSame(known?.leaf, before);
  t.same(present(first).start.report().refused, []);
});

t.test('more vaults than t put back: each is refused by name, and fewer than a quorum are left', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  const puts = await Promise.all([1, 2].map((party) => snapshot(present(quorum.storages.get(party)))));
  await quorum.kill();
  await quorum.startAll();
  await quorum.run();
  await quorum.kill();
  for (const [index, put] of puts.entries()) await put(present(quorum.storages.get(index + 1)));
  const parties = await quorum.startAll();
  await quorum.run();
  t.same(phases(parties).slice(0, 2), ['rolled-back', 'rolled-back']);
});

t.test(
  'all vaults put back, each to a state of another moment: whoever is behind what others remember is refused',
  async (t) => {
    const quorum = startScene(t, 4);
    await quorum.startAll();
    await quorum.run();
    const puts: (() => Promise<void>)[] = [];
    for (const party of quorum.parties) {
      const storage = present(quorum.storages.get(party));
      const put = await snapshot(storage);
      puts.push(() => put(storage));
      await quorum.kill();
      await quorum.startAll();
      await quorum.run();
    }
    await quorum.kill();
    for (const put of puts) await put();
    const parties = await quorum.startAll();
    await quorum.run();
    t.same(phases(parties).slice(0, 3), ['rolled-back', 'rolled-back', 'rolled-back']);
    t.notOk(parties.some(({ start }) => start.state.isOpen && start.report().acknowledged.length < 2));
  },
);
