/**
 * vsock sockets with Unix sockets in place of AF_VSOCK: connect, listen, half-close, back pressure, large transfers,
 * many connections.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { connect as netConnect, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import t from 'tap';
import { fakeVsock, openDescriptors } from './nitro-fake.ts';
import { connected, listening, MB, read, until } from './nitro-vsock-pairs.ts';

t.test('bytes go both ways over a connection, and its end ends it', async (t) => {
  const { local, peer } = await connected(t);
  local.end('ping');
  t.equal((await read(peer)).toString(), 'ping');
  peer.end('pong');
  t.equal((await read(local)).toString(), 'pong');
});

t.test('a half-close goes through either way while the other direction lives on', async (t) => {
  for (const first of ['local', 'peer'] as const) {
    const pair = await connected(t, { allowHalfOpen: true });
    const [a, b] = first === 'local' ? [pair.local, pair.peer] : [pair.peer, pair.local];
    a.end('last words');
    t.equal((await read(b)).toString(), 'last words', `${first} ends first`);
    for (let i = 0; i < 3; i++) b.write(`still here ${i};`);
    b.end();
    t.equal((await read(a)).toString(), 'still here 0;still here 1;still here 2;', 'the other direction');
  }
});

t.test('a listener tells who connects', async (t) => {
  const { relay, sockets } = await listening(t);
  const client = await relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000 });
  await until(() => sockets.length === 1);
  t.equal(sockets[0]?.cid, 16);
  t.ok((sockets[0]?.port ?? 0) >= 100_000, 'the port that the peer was given');
  client.destroy();
});

t.test('256 MB arrive intact both ways at once', async (t) => {
  const { relay, sockets } = await listening(t, { allowHalfOpen: true });
  const client = await relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000, allowHalfOpen: true });
  await until(() => sockets.length === 1);
  const server = sockets[0]?.socket;
  if (!server) throw new Error('no connection');
  const send = async (socket: Socket) => {
    const hash = createHash('sha256');
    const blocks = async function* () {
      for (let sent = 0; sent < 256 * MB; sent += MB) {
        const block = randomFillSync(Buffer.allocUnsafe(MB), 0, 64);
        hash.update(block);
        yield block;
      }
    };
    await pipeline(blocks, socket, { end: true });
    return hash.digest('hex');
  };
  const receive = async (socket: Socket) => {
    const hash = createHash('sha256');
    let size = 0;
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      size += chunk.length;
    });
    await once(socket, 'end');
    t.equal(size, 256 * MB);
    return hash.digest('hex');
  };
  const [sentUp, sentDown, gotUp, gotDown] = await Promise.all([
    send(client),
    send(server),
    receive(server),
    receive(client),
  ]);
  t.equal(gotUp, sentUp, 'to the listener');
  t.equal(gotDown, sentDown, 'from the listener');
});

t.test('whatever is written in whatever pieces arrives, and ends when it ends', async (t) => {
  const { relay, sockets } = await listening(t, { allowHalfOpen: true });
  const stream = fc.array(fc.nat(200_000), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(stream, stream, async (up, down) => {
      sockets.length = 0;
      const client = await relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000, allowHalfOpen: true });
      await until(() => sockets.length === 1);
      const server = sockets[0]?.socket;
      if (!server) throw new Error('no connection');
      const send = (socket: Socket, sizes: readonly number[], seed: number) => {
        const blocks = sizes.map((size, i) => Buffer.alloc(size, seed + i));
        for (const block of blocks) socket.write(block);
        socket.end();
        return Buffer.concat(blocks);
      };
      const sent = [send(client, up, 1), send(server, down, 100)];
      const [atServer, atClient] = await Promise.all([read(server), read(client)]);
      return sent[0]?.equals(atServer) === true && sent[1]?.equals(atClient) === true;
    }),
    { numRuns: 50 },
  );
  await until(() => relay.size === 0);
  t.pass('1 property');
});

t.test('a reader that does not read stops the writer, and memory stays bounded', async (t) => {
  const { local, peer } = await connected(t);
  peer.pause();
  const block = Buffer.alloc(MB);
  let written = 0;
  while (local.write(block) && written < 64) written++;
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
  t.ok(local.writableNeedDrain, 'the writer waits');
  t.ok(local.writableLength > 0, 'and keeps what was not taken');
  t.ok(process.memoryUsage().rss - before < 32 * MB, 'the relay does not read ahead');
  let received = 0;
  peer.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  peer.resume();
  local.end();
  await once(peer, 'end');
  t.equal(received, (written + 1) * MB, 'everything arrives once the reader reads');
});

t.test('200 connections at once each get their own bytes back', async (t) => {
  const before = openDescriptors();
  const { relay, listener, sockets } = await listening(t, { allowHalfOpen: true });
  const clients = await Promise.all(
    Array.from({ length: 200 }, () => relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000, allowHalfOpen: true })),
  );
  await until(() => sockets.length === 200);
  for (const { socket } of sockets) socket.pipe(socket);
  const echoes = await Promise.all(
    clients.map((client, i) => {
      const text = `${i}:`.repeat(20_000);
      client.end(text);
      return read(client).then((back) => back.toString() === text);
    }),
  );
  t.ok(echoes.every(Boolean));
  await listener.close();
  await until(() => relay.size === 0);
  await until(() => openDescriptors() <= before + 8);
  t.pass('no descriptor is left');
});

t.test('nobody at the address is an error with its errno', async (t) => {
  const { relay } = fakeVsock(t);
  await t.rejects(relay.connect({ cid: 3, port: 1, timeoutMs: 60_000 }), {
    code: 'UNAVAILABLE',
    facts: { errno: 'ENOENT', cid: 3, port: 1 },
  });
});

t.test('a connect that is aborted before, during or after leaves nothing behind', async (t) => {
  const { relay, sockets } = await listening(t);
  const options = { cid: 16, port: 6000, timeoutMs: 60_000 };
  await t.rejects(relay.connect({ ...options, signal: AbortSignal.abort() }), { code: 'CANCELLED' });
  const during = new AbortController();
  const given = relay.connect({ ...options, signal: during.signal });
  during.abort();
  await t.rejects(given, { code: 'CANCELLED' });
  const after = new AbortController();
  const socket = await relay.connect({ ...options, signal: after.signal });
  after.abort();
  t.notOk(socket.destroyed, 'a made connection is its owner’s');
  socket.destroy();
  await until(() => sockets.length >= 1);
  for (const { socket } of sockets) socket.resume();
  await until(() => relay.size === 0);
});

t.test('arguments out of range are refused before the native part', async (t) => {
  const { relay } = fakeVsock(t);
  const good = { cid: 3, port: 5000, timeoutMs: 60_000 };
  for (const bad of [
    { cid: -1 },
    { cid: 0xffffffff },
    { cid: 1.5 },
    { port: -1 },
    { port: 0xffffffff },
    { port: Number.NaN },
    { timeoutMs: 0 },
    { timeoutMs: Number.POSITIVE_INFINITY },
  ]) {
    await t.rejects(relay.connect({ ...good, ...bad }), { code: 'REQUEST_INVALID' }, JSON.stringify(bad));
  }
  await t.rejects(
    relay.listen({ port: 2 ** 33 }, () => {}),
    { code: 'REQUEST_INVALID' },
  );
  await t.rejects(
    relay.listen({ port: 1, maxConnections: 0 }, () => {}),
    { code: 'REQUEST_INVALID' },
  );
});

t.test('a taken port is refused, and is free again after close', async (t) => {
  const { relay, listener, address } = await listening(t);
  await t.rejects(
    relay.listen({ port: 6000, cid: 16 }, () => {}),
    { code: 'ALREADY_EXISTS' },
  );
  const closing = [listener.close(), listener.close()];
  await Promise.all(closing);
  const refused = netConnect(address);
  const [error] = await once(refused, 'error');
  t.equal((error as { code: string }).code, 'ECONNREFUSED');
});

t.test('connections over the limit are closed at once', async (t) => {
  const { relay, sockets } = await listening(t, { maxConnections: 4 });
  const clients = await Promise.all(
    Array.from({ length: 2 }, () => relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000 })),
  );
  await until(() => sockets.length === 2);
  const refused = await relay.connect({ cid: 16, port: 6000, timeoutMs: 60_000 });
  refused.resume();
  await once(refused, 'close');
  t.equal(sockets.length, 2);
  for (const client of clients) client.destroy();
});
