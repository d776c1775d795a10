/** Parties that came out of backups: no memory of others until they are confirmed, and too many of them stop everything. */
import { createHash } from 'node:crypto';
import t, { type Test } from 'tap';
import { encodeRestart, makeRestart } from '../../../attestation/start/quorum-restart.ts';
import type { SignedStart } from '../../../attestation/start/start-record.ts';
import { KmsError } from '../../../common/errors.ts';
import { applyRestart } from '../../../enclave/start/apply-restart.ts';
import { present } from '../../helpers/present.ts';
import { phases, type RunningParty, restore, startScene } from './start-scene.ts';

const CONTEXT = new Uint8Array(32).fill(5);

/** Governance as an engine of the scene has it. */
function governanceOf(
  quorum: ReturnType<typeof startScene>,
  isApproved: boolean,
  versions = { record: 2, releases: 1 },
) {
  const asked: string[] = [];
  const parties = quorum.parties.map((party) => ({ party, address: present(quorum.known.get(party)).address }));
  const body = { parties, context: CONTEXT };
  const book = { charter: { network: 'dev:test' }, versions, record: { body } };
  return {
    asked,
    // What an engine's book is asked for here, and no more.
    governance: {
      book: book as never,
      requireApproval: async (kind: string, digest: Uint8Array) => {
        asked.push(`${kind} ${Buffer.from(digest).toString('hex')}`);
        if (!isApproved) throw new KmsError('APPROVAL_MISSING', 'not approved');
      },
    },
  };
}

const restartOf = (parties: readonly RunningParty[], number = 1): Uint8Array =>
  encodeRestart(
    makeRestart(
      { network: 'dev:test', context: CONTEXT, number },
      parties.map(({ own, memory }) => ({ own: present(own.current), remembered: memory.all() })),
    ),
  );

const apply = (party: RunningParty, encoded: Uint8Array, governance: ReturnType<typeof governanceOf>['governance']) =>
  applyRestart(encoded, { governance, memory: party.memory, own: party.own, confirm: party.start });

/** A quorum of four that was killed, two of whose parties then came out of backups. */
async function withTwoRestored(t: Test) {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  await quorum.kill();
  for (const party of [1, 2]) await restore(quorum, party);
  const parties = await quorum.startAll();
  await quorum.run();
  return { quorum, parties };
}

t.test('one restored party is confirmed by the others, and learns what they remember', async (t) => {
  const quorum = startScene(t, 4);
  const before = await quorum.startAll();
  await quorum.run();
  await quorum.kill([1]);
  await restore(quorum, 1);
  const again = await quorum.start(1);
  t.same(again.memory.all(), [], 'it remembers nobody');
  await quorum.run();
  t.equal(again.start.state.phase, 'confirmed');
  t.equal(again.head.source, undefined, 'it is memory from here on, over later starts as well');
  t.same(
    again.memory.all().map(({ start }) => start.party),
    [2, 3, 4],
  );
  await quorum.run();
  t.same(present(before[1]).memory.of(1)?.start.source, undefined, 'and the others know');
});

t.test('a restored party is no memory: its word alone confirms nobody', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  await quorum.kill();
  await restore(quorum, 1);
  const [restored, second, third] = await quorum.startAll([1, 2, 3]);
  await quorum.run();
  t.same(phases([present(restored), present(second), present(third)]), ['confirmed', 'confirmed', 'confirmed']);
  // Party 1 needs both others; only then is it one of the two that they need.
  t.same(present(restored).start.report().acknowledged, [2, 3]);
  await quorum.kill();
  await restore(quorum, 1);
  const two = await quorum.startAll([1, 2]);
  await quorum.run();
  t.same(phases(two), ['waiting', 'waiting']);
  t.same(present(two[1]).start.report().acknowledged, [], 'the restored one does not count');
});

t.test('a backup that is older than what others remember is refused, however often it was written since', async (t) => {
  const quorum = startScene(t, 4);
  const [first] = await quorum.startAll();
  await quorum.run();
  const entry = (version: number) => ({ version, writing: { place: '1-a', digest: new Uint8Array(48), sizeBytes: 1 } });
  const source = present(present(first).head.point);
  await present(first).head.advance(new Map([['a', entry(1)]]));
  await quorum.run();
  await quorum.kill([1]);
  await restore(quorum, 1, source);
  const idle = await quorum.openHead(1, 1);
  for (const version of [2, 3, 4, 5, 6]) await idle.advance(new Map([['a', entry(version)]]));
  const old = await quorum.start(1);
  await quorum.run();
  t.equal(old.start.state.phase, 'rolled-back');
});

t.test('with more than t restored nothing serves before governance has restarted the quorum', async (t) => {
  const { quorum, parties } = await withTwoRestored(t);
  t.same(new Set(phases(parties)), new Set(['quorum-restart']));
  t.throws(() => present(parties[3]).start.state.require(), { code: 'PRECONDITION_FAILED', message: /quorum restart/ });
  t.same(present(parties[3]).start.report().restored, [1, 2]);

  const encoded = restartOf(parties);
  const refused = governanceOf(quorum, false);
  await t.rejects(apply(present(parties[0]), encoded, refused.governance), { code: 'APPROVAL_MISSING' });
  t.same(refused.asked, [`quorum-restart ${createHash('sha384').update(encoded).digest('hex')}`]);
  t.equal(present(parties[0]).start.state.phase, 'quorum-restart');

  const { governance } = governanceOf(quorum, true);
  for (const party of parties) await apply(party, encoded, governance);
  await quorum.run();
  t.same(new Set(phases(parties)), new Set(['reshare-due']));
  t.throws(() => present(parties[0]).start.state.require(), { code: 'PRECONDITION_FAILED', message: /reshared/ });
  await apply(present(parties[0]), encoded, governance);

  await quorum.kill();
  const later = await quorum.startAll();
  await quorum.run();
  t.same(new Set(phases(later)), new Set(['reshare-due']), 'over later starts as well');
  await t.rejects(apply(present(later[0]), restartOf(later), governance), { code: 'PRECONDITION_FAILED' });
});

t.test('a party that has not been told of the restart does not serve, whoever else has been', async (t) => {
  const { quorum, parties } = await withTwoRestored(t);
  const encoded = restartOf(parties);
  const { governance } = governanceOf(quorum, true);
  for (const [told, party] of parties.entries()) {
    await apply(party, encoded, governance);
    await quorum.run();
    const wanted = parties.map((_, at) => (at <= told ? 'reshare-due' : 'quorum-restart'));
    t.same(phases(parties), wanted, `${told + 1} have been told`);
  }
  await quorum.kill([4]);
  const again = await quorum.start(4);
  await quorum.run();
  t.equal(again.start.state.phase, 'reshare-due', 'and the others are memory for it');
});

t.test('all parties restored: nobody is memory, and governance decides', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  await quorum.kill();
  for (const party of quorum.parties) await restore(quorum, party);
  const parties = await quorum.startAll();
  await quorum.run();
  t.same(new Set(phases(parties)), new Set(['quorum-restart']));
  const { governance } = governanceOf(quorum, true);
  // An engine that was started again meanwhile goes on from the start that governance has seen.
  const encoded = restartOf(parties);
  await quorum.kill([4]);
  const fourth = await quorum.start(4);
  await quorum.run();
  for (const party of [...parties.slice(0, 3), fourth]) await apply(party, encoded, governance);
  await quorum.run();
  t.same(new Set(phases([...parties.slice(0, 3), fourth])), new Set(['reshare-due']));
});

t.test('what is wrong with a restart is told, all at once, and changes nothing', async (t) => {
  const quorum = startScene(t, 4);
  const parties = await quorum.startAll();
  await quorum.run();
  const { governance } = governanceOf(quorum, true);
  const [first] = parties;
  const words = parties.map(({ own, memory }) => ({ own: present(own.current), remembered: memory.all() }));
  const place = { network: 'dev:test', context: CONTEXT, number: 1 };
  const make = (change: object, some = words): Uint8Array => encodeRestart({ ...makeRestart(place, some), ...change });
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['two parties', make({}, words.slice(0, 2)), /2 parties, and 3 are needed/],
    ['another network', make({ network: 'dev:other' }), /network dev:other/],
    ['another context', make({ context: new Uint8Array(32) }), /another context/],
    ['both', make({ network: 'dev:other' }, words.slice(0, 2)), /network dev:other.*3 are needed/],
  ];
  for (const [why, encoded, message] of cases) {
    await t.rejects(apply(present(first), encoded, governance), { code: 'REQUEST_INVALID', message }, why);
  }
  const behind = governanceOf(quorum, true, { record: 1, releases: 1 });
  await t.rejects(apply(present(first), make({}), behind.governance), {
    code: 'PRECONDITION_FAILED',
    message: /newer/,
  });
  await t.rejects(apply(present(first), make({}).slice(1), governance), { code: 'REQUEST_INVALID' });
  t.same(new Set(phases(parties)), new Set(['confirmed']));
});

t.test('a restart from an older vault than others remember is refused', async (t) => {
  const quorum = startScene(t, 4);
  const old = await quorum.startAll();
  await quorum.run();
  const past = old.map(({ own }): SignedStart => present(own.current));
  await quorum.kill();
  const parties = await quorum.startAll();
  await quorum.run();
  const words = parties.map(({ own, memory }, at) => ({
    own: at === 0 ? present(past[0]) : present(own.current),
    remembered: memory.all(),
  }));
  const encoded = encodeRestart(makeRestart({ network: 'dev:test', context: CONTEXT, number: 1 }, words));
  const { governance } = governanceOf(quorum, true);
  await t.rejects(apply(present(parties[1]), encoded, governance), {
    code: 'REQUEST_INVALID',
    message: /party 1 starts from a vault that is older/,
  });
});
