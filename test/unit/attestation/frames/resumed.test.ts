/** Sessions that can be resumed: they go on on the next connection, from whichever end it was lost, or end in time. */
import t from 'tap';
import type { FrameLink } from '../../../../attestation/mesh/frame-link.ts';
import { connectLinks, linkPair, sessionId, settle } from './pair.ts';

/** A session whose owner sends `words` again each time. */
function resumable(link: FrameLink, id: Uint8Array, words: readonly string[]) {
  let resent = 0;
  const say = (): void => {
    for (const word of words) void session.send(0, Buffer.from(word)).catch(() => undefined);
  };
  const session = link.open(id, {
    resend: () => {
      resent += 1;
      say();
    },
  });
  say();
  return { session, resent: () => resent };
}

const text = (payload: Uint8Array | undefined): string => Buffer.from(payload ?? []).toString();

t.test('a session goes on on the next connection, and its reader is told where it begins again', async (t) => {
  const { a, b } = linkPair(t);
  const from = resumable(a, sessionId(1), ['1', '2']);
  const to = resumable(b, sessionId(1), []);
  await settle();
  t.equal(text((await to.session.receive())?.payload), '1');
  t.equal(to.session.restarts, 0);
  const waiting = from.session.receive();
  a.close('broken');
  await settle();
  connectLinks(a, b);
  await settle();
  t.same([from.resent(), to.resent()], [1, 1], 'both ends may have lost something');
  const heard: [string, number][] = [];
  for (let frame = 0; frame < 2; frame++) {
    heard.push([text((await to.session.receive())?.payload), to.session.restarts]);
  }
  t.same(heard.at(-1), ['2', 1]);
  await to.session.send(0, Buffer.from('answer'));
  t.equal(text((await waiting)?.payload), 'answer', 'a read that waited goes on, too');
  from.session.end();
  to.session.end();
  t.equal(await to.session.receive(), undefined);
  t.equal(await from.session.receive(), undefined);
  t.match([a.stats(), b.stats()], [{ sessions: 0 }, { sessions: 0 }]);
});

t.test('an end that was lost is said again, and nothing is after an end that arrived', async (t) => {
  const { a, b } = linkPair(t);
  const from = resumable(a, sessionId(1), ['all']);
  from.session.end();
  a.close('broken before anything left');
  await settle();
  connectLinks(a, b);
  await settle();
  const to = resumable(b, sessionId(1), ['mine']);
  t.equal(text((await to.session.receive())?.payload), 'all');
  t.equal(await to.session.receive(), undefined);
  connectLinks(a, b);
  await settle();
  b.close('broken again');
  await settle();
  connectLinks(a, b);
  await settle();
  t.equal(await to.session.receive(), undefined, 'it has ended');
  t.equal(text((await from.session.receive())?.payload), 'mine');
  to.session.end();
  t.equal(await from.session.receive(), undefined);
});

t.test('a session may be opened in the moment between two connections, and not long after', async (t) => {
  let nowMs = 0;
  const { a, b } = linkPair(t, { clock: { nowMs: () => nowMs, monotonicMs: () => nowMs } });
  await settle();
  a.close('broken');
  await settle();
  t.throws(() => a.open(sessionId(1)), { code: 'UNAVAILABLE' }, 'one that cannot be resumed has nothing to go on');
  const from = resumable(a, sessionId(1), ['x']);
  connectLinks(a, b);
  await settle();
  t.equal(text((await resumable(b, sessionId(1), []).session.receive())?.payload), 'x');
  t.equal(from.resent(), 1);
  b.close('broken');
  await settle();
  nowMs = 5_000;
  t.throws(() => resumable(a, sessionId(2), []), { code: 'UNAVAILABLE' });
});

t.test('a peer that does not come back within five seconds has ended its sessions', async (t) => {
  let nowMs = 0;
  const { a, b } = linkPair(t, { clock: { nowMs: () => nowMs, monotonicMs: () => nowMs } });
  const [before, after] = [resumable(a, sessionId(1), []), resumable(a, sessionId(2), [])];
  const peer = resumable(b, sessionId(1), ['x']);
  await settle();
  t.equal(text((await before.session.receive())?.payload), 'x');
  const reads = [before.session.receive(), after.session.receive()];
  const ends = Promise.all(reads.map((read) => t.rejects(read, { code: 'UNAVAILABLE', message: /party 2/ })));
  b.close('gone');
  peer.session.close();
  await settle();
  nowMs = 4_999;
  a.sweep();
  connectLinks(a, b); // a process that has started again knows nothing of them
  await settle();
  nowMs = 5_000;
  a.sweep();
  await ends;
});

t.test('a session that waits unopened begins again on the next connection', async (t) => {
  const { a, b } = linkPair(t);
  resumable(a, sessionId(1), ['1', '2']);
  await settle();
  t.equal(b.stats().unopened, 1);
  a.close('broken');
  await settle();
  connectLinks(a, b);
  await settle();
  t.equal(b.stats().unopened, 1);
  const { session } = resumable(b, sessionId(1), []);
  t.same([text((await session.receive())?.payload), text((await session.receive())?.payload)], ['1', '2']);
  t.equal(session.restarts, 0, 'nothing of it was read before');
});

t.test('a peer that opens a session twice on one connection breaks the protocol', async (t) => {
  const { a, b } = linkPair(t);
  const { session } = resumable(a, sessionId(1), []);
  const once = b.open(sessionId(1));
  await once.send(0, Buffer.from('x'));
  once.close(); // forgotten there, so that it can be opened again
  b.open(sessionId(1));
  await settle();
  t.notOk(a.usable, 'the connection has ended');
  session.close();
});
