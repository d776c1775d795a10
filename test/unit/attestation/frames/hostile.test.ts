/** A peer that is attested and wrong all the same: each breach ends the connection, names the peer and costs little. */
import fc from 'fast-check';
import t from 'tap';
import {
  controlFrame,
  helloFrame,
  MESH_FRAME,
  openFrame,
  writeDataHeader,
} from '../../../../attestation/mesh/frame-codec.ts';
import { rawPeer, sessionId, settle } from './pair.ts';

const HELLO = helloFrame({ maxPayloadBytes: 1000, firstCreditBytes: 5000, maxFlows: 4 });

function data(number: number, sizeBytes: number, sent = sizeBytes): Uint8Array {
  const frame = new Uint8Array(13 + sent);
  writeDataHeader(new DataView(frame.buffer), 0, number, 0, sizeBytes);
  return frame;
}

function withLength(lengthBytes: number, kind: number): Uint8Array {
  const frame = new Uint8Array(5);
  new DataView(frame.buffer).setUint32(0, lengthBytes, true);
  frame[4] = kind;
  return frame;
}

const limits = { maxPayloadBytes: 1000, windowBytes: 4000, firstCreditBytes: 2000, maxFlows: 2 };
const OPEN = openFrame(1, sessionId(1));

const BREACHES: readonly [string, readonly Uint8Array[], RegExp][] = [
  ['data before the hello', [data(1, 0)], /hello/],
  ['an opening before the hello', [OPEN], /hello/],
  ['a second hello', [HELLO, HELLO], /hello/],
  ['another version', [HELLO.with(5, 9)], /version 1/],
  ['an unknown kind', [HELLO, withLength(1, 8)], /unknown frame kind/],
  ['kind zero', [HELLO, withLength(1, 0)], /unknown frame kind/],
  ['a length of zero', [HELLO, withLength(0, MESH_FRAME.retire)], /length/],
  ['a control frame that is too long', [HELLO, withLength(10, MESH_FRAME.end)], /length/],
  ['data too short for its header', [HELLO, withLength(8, MESH_FRAME.data)], /length/],
  [
    'the largest length',
    [HELLO, OPEN, withLength(2 ** 32 - 1, MESH_FRAME.data), new Uint8Array(8).fill(1, 0, 1)],
    /too large/,
  ],
  ['a payload over the limit', [HELLO, OPEN, data(1, 1001, 0)], /too large/],
  ['data of a session that was never opened', [HELLO, data(1, 10)], /not open/],
  ['data after the end', [HELLO, OPEN, controlFrame(MESH_FRAME.end, 1), data(1, 1)], /not open/],
  ['a number that skips', [HELLO, openFrame(2, sessionId(1))], /one by one/],
  ['a number used again', [HELLO, OPEN, openFrame(1, sessionId(2))], /one by one/],
  ['too many sessions', [HELLO, OPEN, openFrame(2, sessionId(2)), openFrame(3, sessionId(3))], /too many/],
  ['more data than credit', [HELLO, OPEN, data(1, 1000), data(1, 1000)], /credit/],
  ['credit for a session of ours that is not', [HELLO, controlFrame(MESH_FRAME.credit, 1, 10)], /never opened/],
  ['a stop for a session of ours that is not', [HELLO, controlFrame(MESH_FRAME.stop, 7)], /never opened/],
  ['the end of nothing', [HELLO, controlFrame(MESH_FRAME.end, 1)], /not open/],
  ['an opening after retiring', [HELLO, controlFrame(MESH_FRAME.retire), OPEN], /retiring/],
];

t.test('each breach of the protocol ends the connection and names the peer', async (t) => {
  for (const [what, frames, why] of BREACHES) {
    const { channel, raw } = rawPeer(t, { limits });
    for (const frame of frames) raw.write(frame);
    const reason = await channel.closed;
    t.match(reason, /^party 2 broke the frame protocol: /, what);
    t.match(reason, why, what);
    t.equal(channel.usable, false, what);
  }
});

t.test('frames cut anywhere are read as if they came whole', async (t) => {
  const whole = Buffer.concat([HELLO, OPEN, data(1, 500), data(1, 0), data(1, 700), controlFrame(MESH_FRAME.end, 1)]);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 8 }), async (steps) => {
      const { channel, raw, flows } = rawPeer(t, { limits });
      for (let at = 0, turn = 0; at < whole.byteLength; turn++) {
        const step = steps[turn % steps.length] ?? 1;
        raw.write(whole.subarray(at, at + step));
        at += step;
      }
      while (flows.length === 0) await settle(1);
      const [flow] = flows;
      for (const size of [500, 0, 700]) {
        const frame = await flow?.receive();
        if (frame?.payload.byteLength !== size) throw new Error(`payload of ${frame?.payload.byteLength}`);
      }
      if ((await flow?.receive()) !== undefined) throw new Error('more than was sent');
      channel.close('done');
    }),
    { numRuns: 60 },
  );
  t.pass('60 cuts');
});

t.test('random bytes end the connection or wait for more, and never anything else', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.boolean(), async (noise, greeted) => {
      const { channel, raw } = rawPeer(t, { limits });
      if (greeted) raw.write(Buffer.concat([HELLO, OPEN]));
      raw.write(noise);
      await settle(3);
      if (channel.counters().bufferedBytes > limits.firstCreditBytes) throw new Error('held too much');
      channel.close('done');
    }),
    { numRuns: 200 },
  );
  t.pass('200 runs');
});

t.test('a frame that is announced and never sent takes its credit and nothing else', async (t) => {
  const { channel, raw } = rawPeer(t, { limits });
  raw.write(Buffer.concat([HELLO, OPEN, data(1, 1000, 10)]));
  await settle();
  t.match(channel.counters(), { bufferedBytes: 1064, framesIn: 1 });
});

t.test('small frames do not keep the chunks that they came in', async (t) => {
  const { raw, flows } = rawPeer(t, { limits });
  raw.write(Buffer.concat([HELLO, OPEN, data(1, 10), data(1, 1000)]));
  await settle();
  const small = await flows[0]?.receive();
  const large = await flows[0]?.receive();
  t.equal(small?.payload.buffer.byteLength, 10, 'copied');
  t.ok((large?.payload.buffer.byteLength ?? 0) > 1000, 'a view');
});

t.test('a peer that makes us answer and never reads is given up', async (t) => {
  const { channel, raw } = rawPeer(t, { limits, onFlow: (flow) => flow.stop() });
  raw.pause();
  raw.write(HELLO);
  let ended = false;
  void channel.closed.then(() => {
    ended = true;
  });
  for (let number = 1; !ended && number < 200_000; ) {
    const pairs = Array.from({ length: 500 }, () => [
      openFrame(number, sessionId(1)),
      controlFrame(MESH_FRAME.end, number++),
    ]);
    raw.write(Buffer.concat(pairs.flat()));
    await settle(1);
  }
  t.equal(await channel.closed, 'party 2 does not read');
});

t.test('limits that cannot work are refused, all of them named', async (t) => {
  const bad = { maxPayloadBytes: 1000, windowBytes: 1000, firstCreditBytes: 0, maxFlows: 1.5 };
  t.throws(() => rawPeer(t, { limits: bad }), {
    code: 'CONFIG_INVALID',
    message: /maxFlows.*firstCredit|firstCredit.*maxFlows/,
  });
});
