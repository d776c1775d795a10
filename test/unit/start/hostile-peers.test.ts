/** Parties that lie about starts, their own and others': they delay nobody, and make nobody believe anything. */
import t from 'tap';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { signStart } from '../../../attestation/start/start-record.ts';
import { encodeStartMessage, parseStartMessage, REFUSALS } from '../../../enclave/start/start-messages.ts';
import { mutate, seededRandom } from '../../helpers/mutate.ts';
import { present } from '../../helpers/present.ts';
import { phases, startScene } from './start-scene.ts';

const CONFIRMED = ['confirmed', 'confirmed', 'confirmed', 'confirmed'];

t.test('a party that refuses everybody keeps nobody from serving', async (t) => {
  for (const why of REFUSALS) {
    const quorum = startScene(t, 4);
    quorum.interfere((from, _to, frame) => {
      if (from !== 4) return frame;
      const message = parseStartMessage(frame);
      if (message.type !== 'acknowledged') return frame;
      return encodeStartMessage({ type: 'refused', digest: message.digest, why, seen: undefined });
    });
    const parties = await quorum.startAll();
    await quorum.run();
    t.same(phases(parties), CONFIRMED, why);
    t.match(present(parties[0]).start.report().refused, [{ party: 4, why }]);
  }
});

t.test('a record of another party, or made up, convinces nobody that its vault was put back', async (t) => {
  const quorum = startScene(t, 4);
  const liar = await quorum.signerOf(4);
  quorum.interfere((from, to, frame) => {
    const message = parseStartMessage(frame);
    if (from !== 4 || message.type !== 'acknowledged') return frame;
    const { charterDigest } = present(quorum.known.get(to));
    // A later start of the receiver, signed by the liar; and one of the liar's own.
    const other = message.digest[0] ?? 0;
    const start = {
      charterDigest,
      party: other % 2 === 0 ? to : 4,
      incarnation: 99,
      nonce: new Uint8Array(32),
      manifest: { sequence: 999, digest: new Uint8Array(48) },
      releases: 1,
      record: 1,
      context: new Uint8Array(32),
      epoch: undefined,
      leaf: new Uint8Array(32),
      source: undefined,
      base: undefined,
    };
    const certificate = { ...liar.certificate, party: start.party };
    const seen = signStart(start, { ...liar, certificate }).bytes;
    return encodeStartMessage({ type: 'refused', digest: message.digest, why: 'incarnation-lower', seen });
  });
  const parties = await quorum.startAll();
  await quorum.run();
  t.same(phases(parties), CONFIRMED);
});

t.test('acknowledgements of something else do not count', async (t) => {
  const quorum = startScene(t, 4);
  quorum.interfere((from, _to, frame) => {
    const message = parseStartMessage(frame);
    if (from <= 2 || message.type !== 'acknowledged') return frame;
    return encodeStartMessage({ ...message, digest: new Uint8Array(48).fill(from) });
  });
  const parties = await quorum.startAll();
  await quorum.run();
  t.same(phases(parties), ['waiting', 'waiting', 'confirmed', 'confirmed'], 'one good one is not enough');
  t.same(present(parties[0]).start.report().acknowledged, [2]);
});

t.test('one party cannot acknowledge for two', async (t) => {
  const quorum = startScene(t, 4);
  const parties = await quorum.startAll([1, 2]);
  quorum.interfere((from, to, frame) => {
    if (from === 2) setImmediate(() => quorum.deliver(from, to, frame));
    return frame;
  });
  await quorum.run();
  t.same(phases(parties), ['waiting', 'waiting']);
});

t.test("somebody else's record, and one of a process that is not connected, are not remembered", async (t) => {
  const quorum = startScene(t, 4);
  const [first, second] = await quorum.startAll([1, 2]);
  await quorum.run();
  const record = present(present(second).own.current);
  quorum.deliver(3, 1, encodeStartMessage({ type: 'start', record: record.bytes }));
  await quorum.run();
  t.match(quorum.dropped, [/1 drops 3: .* not its own/]);
  t.equal(present(first).memory.of(3), undefined);
  const elsewhere = signStart({ ...record.start, leaf: new Uint8Array(32).fill(9) }, await quorum.signerOf(2));
  const later = { ...record.start, manifest: { sequence: 50, digest: new Uint8Array(48) } };
  const asIncarnation = signStart({ ...later, incarnation: 7 }, await quorum.signerOf(2));
  for (const forged of [elsewhere, asIncarnation]) {
    quorum.deliver(2, 1, encodeStartMessage({ type: 'start', record: forged.bytes }));
    await quorum.run();
    t.same(present(first).memory.of(2)?.digest, record.digest);
  }
});

t.test('what is no message ends the connection', async (t) => {
  const quorum = startScene(t, 4);
  await quorum.startAll([1]);
  for (const frame of [
    new Uint8Array(0),
    encodeCanonical([9]),
    encodeStartMessage({ type: 'start', record: new Uint8Array(9) }),
  ]) {
    quorum.deliver(2, 1, frame);
  }
  await quorum.run();
  t.equal(quorum.dropped.length, 3);
  quorum.deliver(9, 1, new Uint8Array(0));
  await quorum.run();
  t.equal(quorum.dropped.length, 3, 'a party that the record does not name is not listened to');
});

t.test(
  '25 seeded runs with frames lost, changed and repeated: nobody is taken for put back, and all come up',
  async (t) => {
    const random = seededRandom(11);
    for (let seed = 0; seed < 25; seed++) {
      const quorum = startScene(t, 4);
      let calm = false;
      quorum.interfere((from, to, frame) => {
        const dice = random(100);
        if (calm || dice < 60) return frame;
        if (dice < 80) return undefined;
        if (dice < 90) {
          setImmediate(() => quorum.deliver(from, to, frame));
          return frame;
        }
        return mutate(random, frame, frame);
      });
      for (let round = 0; round < 2; round++) {
        const parties = await quorum.startAll();
        await quorum.run(4_000);
        if (phases(parties).includes('rolled-back')) t.fail(`seed ${seed}`);
        calm = true;
        await quorum.run(4_000);
        if (phases(parties).some((phase) => phase !== 'confirmed')) t.fail(`seed ${seed}: ${phases(parties).join()}`);
        calm = false;
        await quorum.kill();
      }
    }
    t.pass('50 rounds');
  },
);
