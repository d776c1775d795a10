/**
 * Joined sockets: two sockets of Node that a native thread relays between. No vsock is needed for it.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join as joinPath } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import t from 'tap';
import { type Join, type JoinOptions, joinedTraffic, joinSockets } from '../../../native/nitro/index.ts';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';
import { openDescriptors } from './nitro-fake.ts';
import { MB, read, until } from './nitro-vsock-pairs.ts';

type Kind = 'unix' | 'tcp';
let groups = 0;

/** A connected pair: who dialled, and what was accepted. */
async function pair(t: Teardown, kind: Kind): Promise<[Socket, Socket]> {
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer({ allowHalfOpen: true }, accepted.resolve);
  if (kind === 'unix') server.listen(joinPath(tempDir(t), 's'));
  else server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  const socket =
    typeof at === 'string' || at === null
      ? connect({ path: String(at), allowHalfOpen: true })
      : connect({ port: at.port, host: '127.0.0.1', allowHalfOpen: true });
  const both: [Socket, Socket] = [socket, await accepted.promise];
  if (socket.connecting) await once(socket, 'connect');
  server.close();
  for (const one of both) {
    one.on('error', () => undefined);
    t.teardown(() => void one.destroy());
  }
  return both;
}

/** client ↔ a, joined with b ↔ target. */
async function joined(t: Teardown, options: Partial<JoinOptions> = {}, kinds: [Kind, Kind] = ['unix', 'unix']) {
  const [client, a] = await pair(t, kinds[0]);
  const [b, target] = await pair(t, kinds[1]);
  const group = ++groups;
  const join: Join = joinSockets(a, b, { group, idleTimeoutMs: 60_000, ...options });
  t.teardown(() => join.cut());
  return { client, target, join, group };
}

t.test('bytes and half-closes go both ways, over sockets of any two kinds', async (t) => {
  for (const kinds of [
    ['unix', 'unix'],
    ['unix', 'tcp'],
    ['tcp', 'unix'],
    ['tcp', 'tcp'],
  ] as const) {
    const { client, target, join } = await joined(t, {}, [...kinds]);
    client.end('question');
    t.equal(await text(target), 'question', `${kinds.join(' to ')}: asks and ends`);
    target.end('answer');
    t.equal(await text(client), 'answer', `${kinds.join(' to ')}: is answered after its end`);
    t.same(await join.ended, { how: 'orderly' });
  }
});

t.test('an end is passed on, whether it comes with the last bytes, before them being read or after', async (t) => {
  for (let round = 0; round < 100; round++) {
    const { client, target, join } = await joined(t);
    const arrived = text(target);
    client.write(Buffer.alloc(round * 1024, 'x'));
    if (round % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    client.end('last');
    t.equal((await arrived).length, round * 1024 + 4, `${round} KiB and an end`);
    target.end();
    t.same(await join.ended, { how: 'orderly' });
  }
});

t.test('64 MB arrive whole each way, and are counted', async (t) => {
  const { client, target, group } = await joined(t);
  const [up, down] = [Buffer.alloc(64 * MB, 'up'), Buffer.alloc(64 * MB, 'down')];
  client.end(up);
  target.end(down);
  const [gotUp, gotDown] = await Promise.all([read(target), read(client)]);
  t.ok(gotUp.equals(up));
  t.ok(gotDown.equals(down));
  t.same(joinedTraffic(group), [64 * MB, 64 * MB]);
});

t.test('a reader that waits holds the writer back', async (t) => {
  const { client, target, group } = await joined(t);
  client.end(Buffer.alloc(16 * MB));
  const moved = () => joinedTraffic(group)[0];
  await until(() => moved() > 0);
  const before = moved();
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.ok(before < 4 * MB && moved() < 4 * MB, `${moved()} bytes went`);
  t.equal((await read(target)).length, 16 * MB, 'and all comes once it reads');
});

t.test('heads go first, then what Node had read already', async (t) => {
  const [client, a] = await pair(t, 'unix');
  const [b, target] = await pair(t, 'unix');
  client.write('read by Node;');
  target.write('too;');
  await Promise.all([once(a, 'readable'), once(b, 'readable')]);
  const heads = { headToSecond: Buffer.from('up;'), headToFirst: Buffer.from('down;') };
  joinSockets(a, b, { group: ++groups, idleTimeoutMs: 60_000, ...heads });
  client.end('later');
  target.end('later');
  t.equal(await text(target), 'up;read by Node;later');
  t.equal(await text(client), 'down;too;later');
});

t.test('idle ones are closed, and busy ones are not', async (t) => {
  const idle = await joined(t, { idleTimeoutMs: 40 });
  const busy = await joined(t, { idleTimeoutMs: 60_000 });
  t.same(await idle.join.ended, { how: 'idle' });
  t.ok((await buffer(idle.client)).length === 0);
  busy.client.end('still here');
  t.equal(await text(busy.target), 'still here');
});

t.test('a reset of one side resets the other: a cut stream never looks whole', async (t) => {
  const { client, target, join } = await joined(t, {}, ['tcp', 'tcp']);
  const why = Promise.withResolvers<NodeJS.ErrnoException>();
  target.once('error', why.resolve);
  target.resume();
  client.resetAndDestroy();
  t.same(await join.ended, { how: 'failed', errno: 'ECONNRESET' });
  t.equal((await why.promise).code, 'ECONNRESET');
});

t.test('a join can be cut', async (t) => {
  const { target, join } = await joined(t, {}, ['tcp', 'tcp']);
  const why = Promise.withResolvers<NodeJS.ErrnoException>();
  target.once('error', why.resolve);
  target.resume();
  join.cut();
  t.same(await join.ended, { how: 'cut' });
  t.equal((await why.promise).code, 'ECONNRESET');
  join.cut();
});

t.test('a socket that is closed already is not joined, and the other is closed', async (t) => {
  const [, a] = await pair(t, 'unix');
  const [b] = await pair(t, 'unix');
  a.destroy();
  t.throws(() => joinSockets(a, b, { group: 1, idleTimeoutMs: 1000 }), { code: 'UNAVAILABLE' });
  t.ok(b.destroyed);
});

t.test('limits that are none are refused', async (t) => {
  for (const idleTimeoutMs of [0, -1, 1.5, 2 ** 31, Number.NaN]) {
    const [, a] = await pair(t, 'unix');
    const [b] = await pair(t, 'unix');
    t.throws(() => joinSockets(a, b, { group: 1, idleTimeoutMs }), { code: 'REQUEST_INVALID' }, String(idleTimeoutMs));
    a.destroy();
    b.destroy();
  }
});

t.test('no descriptor is left behind', async (t) => {
  const run = async (): Promise<void> => {
    const { client, target, join } = await joined(t);
    client.end('x');
    target.resume().end();
    client.resume();
    await Promise.all([join.ended, once(client, 'close'), once(target, 'close')]);
  };
  await run();
  const before = openDescriptors();
  for (let i = 0; i < 50; i++) await run();
  await until(() => openDescriptors() <= before + 2);
  t.pass('50 joins');
});
