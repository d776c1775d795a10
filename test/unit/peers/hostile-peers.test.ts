/** An engine that is attested and says what it wants on the shared session: nothing but its own connection suffers. */
import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { meshDialer } from '../../../attestation/mesh/dialer.ts';
import { unixDial } from '../../../attestation/mesh/transport-unix.ts';
import { concatBytes } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { type ControlMessage, encodeControl, parseControl } from '../../../enclave/peers/control-messages.ts';
import { engineNetwork, until } from '../../helpers/engine-network.ts';
import { channelTag, hostileEngine } from './hostile-engine.ts';

/** Stands still: however long a flood takes, it comes within one second. */
const STANDING = { ...systemClock, monotonicMs: () => 1 };

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const nonce = bytes(32).filter((value) => value.some((byte) => byte !== 0));
const kind = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 32,
});
const message: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({
    type: fc.constant('ready' as const),
    asks: fc.boolean(),
    kind,
    id: bytes(32),
    digest: bytes(32),
    nonce,
    seen: fc.option(nonce, { nil: undefined }),
  }),
  fc.record({ type: fc.constantFrom('ping' as const, 'pong' as const), token: bytes(8) }),
  fc.record({
    type: fc.constant('offer' as const),
    offer: fc.record({
      kind: fc.constantFrom('record' as const, 'release-set' as const),
      content: fc.uint8Array({ minLength: 1, maxLength: 500 }),
    }),
  }),
);

t.test('what is written is read again, and whatever is read has one encoding', async (t) => {
  fc.assert(
    fc.property(message, (written) => {
      t.same(parseControl(encodeControl(written)), written);
    }),
    { numRuns: 200 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: 7 }), (body, type) => {
      const frame = concatBytes(Uint8Array.of(type), body);
      let read: ControlMessage;
      try {
        read = parseControl(frame);
      } catch (error) {
        return (error as { code?: string }).code === 'REQUEST_INVALID';
      }
      return Buffer.compare(encodeControl(read), frame) === 0;
    }),
    { numRuns: 2_000 },
  );
});

t.test('messages that are none are refused', async (t) => {
  const ready = encodeControl({
    type: 'ready',
    asks: true,
    kind: 'k',
    id: new Uint8Array(32),
    digest: new Uint8Array(32),
    nonce: new Uint8Array(32).fill(1),
    seen: undefined,
  });
  const without = new Uint8Array(ready);
  without.fill(0, 65, 97);
  const bad: readonly [string, Uint8Array][] = [
    ['nothing', new Uint8Array()],
    ['an unknown type', Uint8Array.of(0)],
    ['an unknown type', Uint8Array.of(7, 1)],
    ['a cut ping', Uint8Array.of(3, 1, 2, 3, 4, 5, 6, 7)],
    ['a long pong', Uint8Array.of(4, 1, 2, 3, 4, 5, 6, 7, 8, 9)],
    ['a meeting without a kind', ready.subarray(0, -1)],
    ['a meeting with too long a kind', concatBytes(ready, new Uint8Array(32).fill(65))],
    ['a kind that is not printable', concatBytes(ready, Uint8Array.of(10))],
    ['a nonce of zeros', without],
    ['an empty offer', Uint8Array.of(5)],
    ['an offer that is too large', new Uint8Array(1024 * 1024 + 2).fill(6)],
  ];
  for (const [why, frame] of bad) t.throws(() => parseControl(frame), { code: 'REQUEST_INVALID' }, why);
});

t.test('a malformed message ends the connection and names the peer; others stay', async (t) => {
  const network = engineNetwork(t, 3);
  const [two, three] = [await network.start(2), await network.start(3)];
  const hostile = await hostileEngine(t, network, 1);
  await until(
    () => two.network.links.get(1)?.stats().sessions === 1 && two.network.links.get(3)?.stats().sessions === 1,
  );
  await hostile.say('control', Uint8Array.of(3, 1));
  await until(() => hostile.ended() !== undefined);
  t.equal(two.network.ledger.of(1).counts['malformed frame'], 1);
  t.match(
    two.log.filter(({ event }) => event === 'quorum.fault'),
    [{ party: 1, fault: 'malformed frame' }],
  );
  t.match(
    two.log.findLast(({ event }) => event === 'mesh.closed'),
    { party: 1, reason: /sent what is no message/ },
  );
  const [reach] = await three.network.reach([2], new AbortController().signal);
  t.match(reach, { reachable: true });
});

t.test('frames for no channel, and cut ones, are dropped; what was right is still answered', async (t) => {
  const network = engineNetwork(t, 2);
  const two = await network.start(2);
  const hostile = await hostileEngine(t, network, 1);
  const never = two.network.channel('silent');
  const kept: number[] = [];
  two.network
    .channel('kept')
    .listen({ onFrame: (_, { byteLength }) => kept.push(byteLength), onConnected: () => undefined });
  await hostile.raw(new Uint8Array());
  await hostile.raw(new Uint8Array(7).fill(1));
  await hostile.raw(new Uint8Array(300).fill(1));
  await hostile.say('silent', Uint8Array.of(1));
  await hostile.say('kept', new Uint8Array());
  never.close();
  await hostile.say('silent', Uint8Array.of(1));
  await hostile.say('kept', new Uint8Array(1024));
  await hostile.say('control', encodeControl({ type: 'pong', token: new Uint8Array(8) }));
  await hostile.say('control', encodeControl({ type: 'ping', token: new Uint8Array(8).fill(3) }));
  await until(() => hostile.heard.length > 0);
  t.same(
    hostile.heard.map((frame) => Buffer.from(frame).toString('hex')),
    [Buffer.concat([channelTag('control'), Uint8Array.of(4), Buffer.alloc(8, 3)]).toString('hex')],
  );
  t.same(kept, [0, 1024]);
  t.equal(hostile.ended(), undefined);
});

t.test('a flood of pings is answered up to a bound, and noted', async (t) => {
  const network = engineNetwork(t, 2);
  const two = await network.start(2, { peers: { clock: STANDING } });
  const hostile = await hostileEngine(t, network, 1);
  const ping = encodeControl({ type: 'ping', token: new Uint8Array(8) });
  await Promise.all(Array.from({ length: 10_000 }, () => hostile.say('control', ping)));
  await until(() => two.network.ledger.of(1).counts.flood >= 10_000 - 2_048);
  await until(() => hostile.heard.length >= 2_000);
  t.ok(hostile.heard.length < 2_100, `${hostile.heard.length} answers`);
  t.equal(hostile.ended(), undefined, 'whoever asks too much is not answered, no more');
});

t.test('sessions of a bandwidth test are bounded for each peer', async (t) => {
  const network = engineNetwork(t, 2);
  const two = await network.start(2);
  const hostile = await hostileEngine(t, network, 1);
  const prefix = createHash('sha256').update('bandwidth frames, version 1').digest().subarray(0, 16);
  const sessions = Array.from({ length: 300 }, () => hostile.link.open(Buffer.concat([prefix, randomBytes(16)])));
  const taken = await Promise.allSettled(
    sessions.map(async (session) => {
      await session.send(1, new Uint8Array(10));
      return (await session.receive()) !== undefined;
    }),
  );
  const answered = taken.filter((result) => result.status === 'fulfilled' && result.value).length;
  t.equal(answered, 256);
  for (const session of sessions) session.close();
  await until(() => two.network.links.get(1)?.stats().sessions === 1);
});

t.test('a flood of sessions that nobody wants is held within bounds, and others go on', async (t) => {
  const network = engineNetwork(t, 3);
  const [two, three] = [await network.start(2), await network.start(3)];
  const hostile = await hostileEngine(t, network, 1);
  await until(
    () => two.network.links.get(3)?.stats().sessions === 1 && three.network.links.get(2)?.stats().sessions === 1,
  );
  const sent = Array.from({ length: 1_000 }, async () => {
    await hostile.link.open(randomBytes(32)).send(1, new Uint8Array(50_000));
  });
  await Promise.allSettled(sent);
  const stats = two.network.links.get(1)?.stats();
  t.ok((stats?.unopened ?? 999) <= 256, `${stats?.unopened} sessions wait`);
  t.ok((stats?.bufferedBytes ?? 1e9) < 256 * 65 * 1024, `${stats?.bufferedBytes} bytes`);
  const never = new AbortController().signal;
  const meeting = { kind: 'k', id: new Uint8Array(32), digest: new Uint8Array(32), parties: [2, 3] };
  await Promise.all([two.network.meet(meeting, never), three.network.meet(meeting, never)]);
  t.equal(hostile.ended(), undefined);
});

t.test('a peer that opens sessions of channels without end loses its connection, and is named', async (t) => {
  const network = engineNetwork(t, 2);
  const two = await network.start(2, { peers: { clock: STANDING } });
  const hostile = await hostileEngine(t, network, 1);
  let connected = 0;
  two.network.channel('any').listen({
    onFrame: () => undefined,
    onConnected: () => {
      connected += 1;
    },
  });
  const prefix = createHash('sha256').update('quorum frames, version 1').digest().subarray(0, 16);
  const opening = Array.from({ length: 500 }, async () => {
    await hostile.link.open(concatBytes(prefix, randomBytes(16))).send(0, new Uint8Array(9));
  });
  await Promise.allSettled(opening);
  await until(() => hostile.ended() !== undefined);
  t.ok(connected > 1 && connected <= 40, `${connected} sessions were answered`);
  t.ok(two.network.ledger.of(1).counts.flood > 0);
});

t.test('an engine that should be dialled and dials itself takes no connection’s place', async (t) => {
  const network = engineNetwork(t, 3);
  const [two, three] = [await network.start(2), await network.start(3)];
  await until(() => two.network.links.get(3)?.stats().connections === 1);
  const expect = { service: 'engine-data', role: 'engine', party: 2 } as const;
  const dial = meshDialer({ dial: unixDial(network.endpoint(2)), endpoint: three.mesh.endpoint, expect });
  const connection = await dial(AbortSignal.timeout(60_000));
  connection.stream.resume();
  let [most, isClosed] = [0, false];
  void connection.closed.then(() => {
    isClosed = true;
  });
  await until(() => {
    most = Math.max(most, two.network.links.get(3)?.stats().connections ?? 0);
    return isClosed;
  });
  t.equal(most, 1, 'the link was never given it');
  t.match(two.network.links.get(3)?.stats(), { connections: 1, sessions: 1 });
});

t.test('bytes that are no frames end the connection, and the peer is named', async (t) => {
  for (const garbage of [Buffer.alloc(64, 0xff), Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(4))]) {
    const network = engineNetwork(t, 2);
    const two = await network.start(2);
    const hostile = await hostileEngine(t, network, 1);
    await until(() => two.network.links.get(1)?.stats().sessions === 1);
    hostile.stream.write(garbage);
    await until(() => hostile.ended() !== undefined);
    t.equal(two.network.ledger.of(1).counts['malformed frame'], 1);
    const [row] = two.mesh.peers.rows().filter(({ role, party }) => role === 'engine' && party === 1);
    t.match(row?.reason, /^engine of party 1 broke the frame protocol: /);
  }
});
