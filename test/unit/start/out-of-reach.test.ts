/**
 * Starts that nobody confirms: as many as somebody likes make no old vault look newer, and none of them is held against an
 * honest one.
 */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { PeerMemory } from '../../../enclave/start/peer-memory.ts';
import { parseStartMessage } from '../../../enclave/start/start-messages.ts';
import { present } from '../../helpers/present.ts';
import { phases, type RunningParty, snapshot, startScene } from './start-scene.ts';

type Scene = ReturnType<typeof startScene>;

const CONFIRMED = ['confirmed', 'confirmed', 'confirmed', 'confirmed'];
const vaultOf = (quorum: Scene, party = 1) => present(quorum.storages.get(party));

/** Writes an object, as an engine does that serves. */
async function write({ head }: RunningParty): Promise<void> {
  const version = head.nextVersion('a');
  const writing = { place: `${version}-a`, digest: new Uint8Array(48), sizeBytes: 1 };
  await head.advance(new Map([['a', { version, writing }]]));
}

/** Starts party 1 so many times while nothing comes from it or to it. */
async function startOutOfReach(quorum: Scene, times: number): Promise<void> {
  quorum.interfere((from, to, frame) => (from === 1 || to === 1 ? undefined : frame));
  for (let time = 0; time < times; time++) {
    await quorum.start(1);
    await quorum.run(10);
    await quorum.kill([1]);
  }
  quorum.interfere((_from, _to, frame) => frame);
}

/** A quorum that serves, a way to put party 1 back, and what made its vault newer than that. */
async function putBackQuorum(t: Test, since: 'an object' | 'a start') {
  const quorum = startScene(t, 4);
  const [first] = await quorum.startAll();
  await quorum.run();
  await write(present(first));
  await quorum.run();
  const old = await snapshot(vaultOf(quorum));
  if (since === 'a start') {
    await quorum.kill([1]);
    await quorum.start(1);
  } else await write(present(first));
  await quorum.run(10_000);
  await quorum.kill([1]);
  const newest = await snapshot(vaultOf(quorum));
  return { quorum, old, newest };
}

for (const since of ['an object', 'a start'] as const) {
  t.test(`no number of starts out of reach makes a vault newer that is old by ${since}`, async (t) => {
    for (const times of [0, 1, 2, 5, 20]) {
      const { quorum, old, newest } = await putBackQuorum(t, since);
      await old(vaultOf(quorum));
      await startOutOfReach(quorum, times);
      const party = await quorum.start(1);
      await quorum.run();
      t.equal(party.start.state.phase, 'rolled-back', `${times} starts`);
      t.match(
        party.start.state.refusal(),
        { code: 'STATE_INVALID', facts: { fault: 'rolled-back' } },
        `${times} starts`,
      );
      t.same(party.start.report().acknowledged, [], `${times} starts`);
      await quorum.kill([1]);
      await newest(vaultOf(quorum));
      const cured = await quorum.start(1);
      await quorum.run();
      t.equal(cured.start.state.phase, 'confirmed', `the newest in its place, after ${times} starts`);
    }
  });
}

t.test('a memory of before is read, and the state in which it was found is what counts', async (t) => {
  const found = { sequence: 5, digest: new Uint8Array(48).fill(5) };
  const before = encodeCanonical([1, [], [new Uint8Array(32)], null]);
  t.equal(PeerMemory.read(before, () => undefined).base, undefined);
  const memory = PeerMemory.atStart(before, found);
  t.same(PeerMemory.read(memory, () => undefined).base, found);
  const again = PeerMemory.atStart(memory, { sequence: 6, digest: new Uint8Array(48).fill(6) });
  t.same(again, memory, 'another start of it changes nothing');
  for (const bad of [
    encodeCanonical([1, [], [], null, null]),
    encodeCanonical([2, [], [], null]),
    encodeCanonical([2, [], [], null, [0, found.digest]]),
    encodeCanonical([3, [], [], null, null]),
  ]) {
    t.throws(() => PeerMemory.read(bad, () => undefined), { code: 'STATE_INVALID' });
  }
});

t.test('a vault that is only started often, while the others are away, is confirmed all the same', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  await quorum.kill();
  for (let time = 0; time < 20; time++) {
    await quorum.start(1);
    await quorum.run(10);
    await quorum.kill([1]);
  }
  const parties = await quorum.startAll();
  await quorum.run();
  t.same(phases(parties), CONFIRMED);
});

t.test('a start that was acknowledged, and killed before it heard so, is followed by the next', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  await quorum.kill([1]);
  quorum.interfere((_from, to, frame) =>
    to === 1 && parseStartMessage(frame).type === 'acknowledged' ? undefined : frame,
  );
  for (let time = 0; time < 3; time++) {
    const unheard = await quorum.start(1);
    await quorum.run();
    t.equal(unheard.start.state.phase, 'waiting');
    await quorum.kill([1]);
  }
  quorum.interfere((_from, _to, frame) => frame);
  const next = await quorum.start(1);
  await quorum.run();
  t.equal(next.start.state.phase, 'confirmed');
});

t.test('a start that was confirmed, and killed before anybody heard of that, is followed by the next', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll();
  await quorum.run();
  await quorum.kill([1]);
  let started: RunningParty | undefined;
  quorum.interfere((from, _to, frame) => (from === 1 && started?.start.state.isOpen ? undefined : frame));
  started = await quorum.start(1);
  await quorum.run();
  t.equal(started.start.state.phase, 'confirmed');
  await write(started);
  await quorum.kill([1]);
  started = undefined;
  const next = await quorum.start(1);
  await quorum.run();
  t.equal(next.start.state.phase, 'confirmed');
});

t.test('whatever happens to parties and network: never refused unless put back, and always if put back', async (t) => {
  const step = fc.constantFrom('start', 'kill', 'write', 'cut', 'join', 'run', 'keep');
  const schedule = fc.tuple(fc.array(step, { minLength: 4, maxLength: 14 }), fc.boolean());
  await fc.assert(
    fc.asyncProperty(schedule, async ([steps, isPutBack]) => {
      const quorum = startScene(t, 4);
      let [party] = await quorum.startAll();
      await quorum.run();
      let kept: Awaited<ReturnType<typeof snapshot>> | undefined;
      /** Whether the others know of something that the copy does not have. */
      let isOld = false;
      let isCut = false;
      for (const next of steps) {
        if (next === 'start' && party === undefined) party = await quorum.start(1);
        if (next === 'kill') {
          await quorum.kill([1]);
          party = undefined;
        }
        if (next === 'cut' || next === 'join') {
          isCut = next === 'cut';
          quorum.interfere((from, to, frame) => (isCut && (from === 1 || to === 1) ? undefined : frame));
        }
        if (next === 'run') await quorum.run();
        if (next === 'write' && party?.start.state.isOpen) {
          await write(party);
          if (!isCut) {
            await quorum.run();
            isOld = kept !== undefined;
          }
        }
        if (next === 'keep' && kept === undefined) kept = await snapshot(vaultOf(quorum));
        if (party?.start.state.isOver) return false;
      }
      await quorum.kill([1]);
      if (isPutBack) await kept?.(vaultOf(quorum));
      await startOutOfReach(quorum, 3);
      const last = await quorum.start(1);
      await quorum.run();
      const { phase } = last.start.state;
      await quorum.kill();
      return isPutBack && isOld ? phase === 'rolled-back' : isPutBack || phase === 'confirmed';
    }),
    { numRuns: 40, seed: 11 },
  );
  t.pass('40 schedules');
});
