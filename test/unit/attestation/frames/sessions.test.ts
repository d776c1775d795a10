/** Sessions of a frame link: both ends open them by id, frames keep their order, slow ones hold up nobody. */
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { FrameLink } from '../../../../attestation/mesh/frame-link.ts';
import { systemClock } from '../../../../common/clock.ts';
import { KmsError } from '../../../../common/errors.ts';
import { connectLinks, linkPair, sessionId, settle } from './pair.ts';

const text = (payload: Uint8Array | undefined): string => Buffer.from(payload ?? []).toString();

t.test('frames of a session arrive in order, whoever opens it first', async (t) => {
  const { a, b } = linkPair(t);
  const left = a.open(sessionId(1));
  await left.send(0, Buffer.from('early'));
  const right = b.open(sessionId(1));
  for (let round = 1; round <= 3; round++) await left.send(round, Buffer.from(`round ${round}`));
  left.end();
  const got: string[] = [];
  for await (const { round, payload } of right) got.push(`${round} ${text(payload)}`);
  t.same(got, ['0 early', '1 round 1', '2 round 2', '3 round 3']);
  await right.send(7, new Uint8Array());
  const frame = await left.receive();
  t.equal(frame?.round, 7);
  t.equal(frame?.payload.byteLength, 0, 'a payload may be empty');
  right.end();
  t.equal(await left.receive(), undefined);
  await settle();
  t.match(
    [a.stats(), b.stats()],
    [
      { sessions: 0, flows: 0, bufferedBytes: 0 },
      { sessions: 0, bufferedBytes: 0 },
    ],
  );
});

t.test('any mix of sizes over any number of sessions arrives as it was sent', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(9000), { maxLength: 12 }), { minLength: 1, maxLength: 6 }),
      async (sessions) => {
        const { a, b } = linkPair(t, { limits: { maxPayloadBytes: 9000 } });
        await Promise.all(
          sessions.map(async (sizes, index) => {
            const from = a.open(sessionId(index));
            const to = b.open(sessionId(index));
            const sent = Promise.all(sizes.map((size, round) => from.send(round, Buffer.alloc(size, round))));
            from.end();
            let round = 0;
            for await (const frame of to) {
              const whole = Buffer.alloc(sizes[round] ?? -1, round).equals(frame.payload);
              if (frame.round !== round || !whole) throw new Error(`frame ${round} of session ${index}`);
              round += 1;
            }
            await sent;
            if (round !== sizes.length) throw new Error('frames are missing');
          }),
        );
        a.close('done');
        b.close('done');
      },
    ),
    { numRuns: 40 },
  );
  t.pass('40 mixes');
});

t.test('a session that nobody reads blocks no other, and holds its window and no more', async (t) => {
  const limits = { maxPayloadBytes: 10_000, windowBytes: 40_000, firstCreditBytes: 20_000 };
  const { a, b } = linkPair(t, { limits });
  const slow = a.open(sessionId(1));
  b.open(sessionId(1));
  let written = 0;
  for (let index = 0; index < 20; index++) {
    slow.send(index, new Uint8Array(10_000)).then(
      () => (written += 1),
      () => undefined,
    );
  }
  await settle();
  t.equal(written, 3, 'what fits the window has left');
  t.equal(b.stats().bufferedBytes, 3 * 10_064);
  const fast = a.open(sessionId(2));
  const reader = b.open(sessionId(2));
  for (let round = 0; round < 50; round++) {
    await fast.send(round, new Uint8Array(10_000));
    t.equal((await reader.receive())?.round, round, `round ${round} of the other session`);
  }
});

t.test('a session that is read goes on, with the largest frames and the smallest window', async (t) => {
  const { a, b } = linkPair(t, { limits: { maxPayloadBytes: 1000, windowBytes: 1064, firstCreditBytes: 500 } });
  const from = a.open(sessionId(1));
  const to = b.open(sessionId(1));
  const sent = Promise.all(Array.from({ length: 30 }, (_, round) => from.send(round, new Uint8Array(1000))));
  for (let round = 0; round < 30; round++) t.equal((await to.receive())?.round, round, `round ${round}`);
  await sent;
});

t.test('payloads and rounds out of range are refused where they are sent', async (t) => {
  const { a, b } = linkPair(t, { limits: { maxPayloadBytes: 1000 } });
  const session = a.open(sessionId(1));
  b.open(sessionId(1));
  await t.rejects(session.send(0, new Uint8Array(1001)), { code: 'REQUEST_INVALID' }, 'too large');
  for (const round of [-1, 1.5, 2 ** 32, Number.NaN]) {
    await t.rejects(session.send(round, new Uint8Array()), { code: 'REQUEST_INVALID' }, `round ${round}`);
  }
  t.throws(() => a.open(sessionId(1)), { code: 'ALREADY_EXISTS' });
  t.throws(() => a.open(new Uint8Array(31)), { code: 'REQUEST_INVALID' });
});

t.test('sessions that only the peer opens are held within bounds, then dropped and counted', async (t) => {
  let nowMs = 0;
  const clock = { nowMs: () => 0, monotonicMs: () => nowMs };
  const { a, b } = linkPair(t, { clock, maxUnopened: 2, unopenedMs: 500, limits: { firstCreditBytes: 5000 } });
  const refused: unknown[] = [];
  for (let id = 1; id <= 3; id++) {
    const session = a.open(sessionId(id));
    for (let round = 0; round < 10; round++)
      session.send(round, new Uint8Array(936)).catch((e: unknown) => refused.push(e));
  }
  await settle();
  t.match(b.stats(), { unopened: 2, bufferedBytes: 2 * 5 * 1000 }, 'the first credit of two sessions is held');
  t.equal(refused.length, 10, 'the third was told to stop');
  t.match(refused[0], new KmsError('ABORTED', 'party 2 wants no more of this session'));
  nowMs = 501;
  b.sweep();
  t.match(b.stats(), { unopened: 0, bufferedBytes: 0, dropped: 10 });
  await settle();
  t.equal(refused.length, 20, 'and now the rest of the others');
});

t.test('waiting for a frame ends with its signal and loses nothing', async (t) => {
  const { a, b } = linkPair(t);
  const from = a.open(sessionId(1));
  const stop = new AbortController();
  const to = b.open(sessionId(1));
  const waiting = to.receive(stop.signal);
  stop.abort();
  await t.rejects(waiting, { code: 'CANCELLED' });
  await settle();
  const again = to.receive(AbortSignal.timeout(60_000));
  await t.rejects(to.receive(), { code: 'STATE_INVALID' }, 'one reader at a time');
  await from.send(1, Buffer.from('x'));
  t.equal(text((await again)?.payload), 'x');
});

t.test('closing a session stops the peer, and only that session', async (t) => {
  const { a, b } = linkPair(t);
  const [one, two] = [a.open(sessionId(1)), a.open(sessionId(2))];
  const [closed, kept] = [b.open(sessionId(1)), b.open(sessionId(2))];
  await one.send(0, Buffer.from('x'));
  await settle();
  closed.close();
  await t.rejects(closed.send(0, new Uint8Array()), { code: 'CANCELLED' });
  await settle();
  await t.rejects(one.send(1, Buffer.from('y')), { code: 'ABORTED' });
  await two.send(0, Buffer.from('z'));
  t.equal(text((await kept.receive())?.payload), 'z');
  t.match(b.stats(), { dropped: 1, bufferedBytes: 0 });
});

t.test('a session that was given up takes no place when the peer opens it later', async (t) => {
  const { a, b } = linkPair(t);
  const given = b.open(sessionId(1));
  const waiting = given.receive();
  given.close();
  await t.rejects(waiting, { code: 'CANCELLED' });
  const late = a.open(sessionId(1));
  await settle();
  t.match(b.stats(), { unopened: 0, sessions: 0 });
  await t.rejects(late.send(0, Buffer.from('x')), { code: 'ABORTED' });
});

t.test('closing a session drops what the peer has not made room for', async (t) => {
  const { a, b } = linkPair(t, { limits: { maxPayloadBytes: 1000, windowBytes: 1064, firstCreditBytes: 1064 } });
  const session = a.open(sessionId(1));
  await session.send(0, new Uint8Array(1000));
  const stuck = session.send(1, new Uint8Array(1000));
  session.close();
  await t.rejects(stuck, { code: 'CANCELLED' });
  await settle();
  t.match(
    [a.stats(), b.stats()],
    [
      { flows: 0, sessions: 0 },
      { flows: 0, unopened: 1 },
    ],
    'the peer has seen its end',
  );
  const late = b.open(sessionId(1));
  t.equal((await late.receive())?.round, 0, 'what had left can be read');
  t.equal(await late.receive(), undefined);
});

t.test('a session can begin while the peer has retired one connection and not yet greeted on the next', async (t) => {
  const { a, b } = linkPair(t);
  await settle();
  const [left, right] = duplexPair();
  const next = b.attach(right);
  // The other end is silent: its hello is still on its way.
  const hellos = once(left, 'data');
  await hellos;
  a.close('retired by the test');
  await settle();
  t.ok(b.usable, 'by the connection that was not greeted yet');
  const session = b.open(sessionId(9));
  const sending = session.send(0, Buffer.from('x'));
  const far = new FrameLink({ peer: 'party 1', clock: systemClock });
  left.unshift((await hellos)[0]);
  far.attach(left);
  t.equal(text((await far.open(sessionId(9)).receive())?.payload), 'x');
  await sending;
  far.close('test over');
  t.match(await next.closed, /closed the connection/);
});

t.test('when the connection ends, what came can be read and the rest fails, naming the peer', async (t) => {
  const { a, b } = linkPair(t);
  const from = a.open(sessionId(1));
  const to = b.open(sessionId(1));
  await from.send(0, Buffer.from('x'));
  await settle();
  a.close('going down');
  await settle();
  t.equal(text((await to.receive())?.payload), 'x');
  await t.rejects(to.receive(), { code: 'UNAVAILABLE', message: /party 1.*closed the connection/ });
  await t.rejects(from.send(1, new Uint8Array()), { code: 'UNAVAILABLE', message: /party 2.*going down/ });
  t.throws(() => b.open(sessionId(2)), { code: 'UNAVAILABLE' });
});

t.test('a new connection takes new sessions; the old one ends with its last session', async (t) => {
  const { a, b } = linkPair(t);
  await settle();
  const [from, to] = [a.open(sessionId(1)), b.open(sessionId(1))];
  await from.send(0, Buffer.from('old'));
  const late = a.open(sessionId(2)); // b will open its end on the new connection
  connectLinks(a, b);
  await settle();
  t.equal(a.stats().connections, 2, 'both are open while the old one has sessions');
  const lateEnd = b.open(sessionId(2));
  await Promise.all([late.send(0, Buffer.from('1')), lateEnd.send(0, Buffer.from('2'))]);
  t.same([text((await lateEnd.receive())?.payload), text((await late.receive())?.payload)], ['1', '2']);
  await to.send(1, Buffer.from('still'));
  t.equal(text((await to.receive())?.payload), 'old');
  t.equal(text((await from.receive())?.payload), 'still');
  for (const session of [from, to, late, lateEnd]) session.end();
  for (const session of [from, to, late, lateEnd]) t.equal(await session.receive(), undefined);
  await settle();
  t.match([a.stats(), b.stats()], [{ connections: 1 }, { connections: 1 }], 'the old one has closed');
  const [next, nextEnd] = [a.open(sessionId(3)), b.open(sessionId(3))];
  await next.send(0, Buffer.from('new'));
  t.equal(text((await nextEnd.receive())?.payload), 'new');
});

t.test('a peer that connects again and again costs no more than four connections', async (t) => {
  const { a, b } = linkPair(t);
  const ended: Promise<string>[] = [];
  for (let more = 0; more < 6; more++) {
    const session = a.open(sessionId(more + 1));
    void session.send(0, new Uint8Array(1)).catch(() => undefined); // keeps its connection from ending
    const channels = connectLinks(a, b);
    ended.push(channels.a.closed);
    await channels.a.ready;
    await settle();
  }
  t.ok(a.stats().connections <= 4, `${a.stats().connections} connections`);
  t.ok(a.usable, 'the newest serves');
});

t.test('sessions that nobody opens are dropped after a link was broken and came back, too', async (t) => {
  let nowMs = 0;
  const { a, b } = linkPair(t, { clock: { nowMs: () => nowMs, monotonicMs: () => nowMs }, unopenedMs: 500 });
  await settle();
  b.open(sessionId(1));
  await settle();
  a.close('broken');
  await settle();
  await connectLinks(a, b).a.ready;
  b.open(sessionId(2));
  await settle();
  t.equal(a.stats().unopened, 1);
  nowMs = 1_000;
  while (a.stats().unopened > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  t.pass('the sweeper runs again');
});
