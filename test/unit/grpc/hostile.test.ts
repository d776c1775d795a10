/** Raw HTTP/2 connections that no honest client makes. Each time the server must go on serving others. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, constants } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { startEchoServer } from './echo-server.ts';
import { frame, openSession, send, stillServes } from './raw-http2.ts';

t.test('ends requests that come too slowly, and connections that say nothing', async (t) => {
  const echo = await startEchoServer(t, { stallTimeoutMs: 1_500, prefaceTimeoutMs: 1_500 });
  const session = openSession(t, echo);
  t.match(await send(session, [Buffer.alloc(2)], {}, false), { status: '4' }, 'half a prefix, then silence');
  const mute = connectTcp(echo.port, '127.0.0.1');
  mute.on('error', () => undefined).resume();
  await once(mute, 'close');
  await stillServes(t, echo, 'others');
});

t.test('drops a client that does not take its answer', async (t) => {
  const echo = await startEchoServer(t, { stallTimeoutMs: 1_500 });
  const session = connect(echo.url, { settings: { initialWindowSize: 0 } });
  session.on('error', () => undefined);
  t.teardown(() => session.destroy());
  const answer = await send(session, [frame(randomBytes(1000))]);
  t.match(answer, { http: 200, status: undefined, reset: constants.NGHTTP2_CANCEL });
  await stillServes(t, echo, 'others');
});

t.test('ends a connection that is idle, not one with a call', async (t) => {
  const echo = await startEchoServer(t, { idleTimeoutMs: 1_000 });
  const idle = openSession(t, echo);
  const busy = openSession(t, echo);
  const began = echo.waiting();
  const waiting = send(busy, [frame(new Uint8Array(1))], { ':path': '/test.Echo/Wait', 'grpc-timeout': '4S' });
  await began;
  await once(idle, 'close');
  t.notOk(busy.closed, 'the one with a call is open');
  t.match(await waiting, { status: '4' });
});

t.test('survives bytes that are no HTTP/2', async (t) => {
  const echo = await startEchoServer(t);
  const inputs = [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), randomBytes(5000)]),
    randomBytes(5000),
    Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
  ];
  for (const input of inputs) {
    const socket = connectTcp(echo.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(input);
    socket.resume();
    await once(socket, 'close');
  }
  await stillServes(t, echo, 'after five kinds of noise');
});

t.test('survives mutated frames of a real connection', async (t) => {
  const echo = await startEchoServer(t);
  const recorded = await recordConnection();
  const socketOf = async (bytes: Uint8Array): Promise<void> => {
    const socket: Socket = connectTcp(echo.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
  };
  await fc.assert(
    fc.asyncProperty(fc.nat(recorded.length - 25), fc.nat(255), async (at, value) => {
      const mutated = Buffer.from(recorded);
      mutated[24 + at] = value;
      await socketOf(mutated);
    }),
    { numRuns: 100 },
  );
  await stillServes(t, echo, 'after 100 of them');
  t.same(echo.faults, []);
});

t.test('survives headers without end', async (t) => {
  const echo = await startEchoServer(t);
  const session = openSession(t, echo);
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`x-${at}`, 'v']));
  const answer = await send(session, [frame(Buffer.alloc(1))], many);
  t.equal(answer.status, undefined, 'such a call is not answered');
  await stillServes(t, echo, 'others');
});

t.test('survives streams opened and reset in a burst', async (t) => {
  const echo = await startEchoServer(t);
  const session = openSession(t, echo);
  for (let count = 0; count < 3000 && !session.destroyed; count++) {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Wait',
      'content-type': 'application/grpc',
    });
    stream.on('error', () => undefined);
    stream.close(constants.NGHTTP2_CANCEL);
    if (count % 500 === 499) await new Promise((resolve) => setImmediate(resolve));
  }
  await stillServes(t, echo, 'others');
});

t.test('clients that leave at any moment are no fault', async (t) => {
  const echo = await startEchoServer(t);
  const paths = ['/test.Echo/Echo', '/test.Echo/Wait', '/test.Echo/Fail', '/test.Echo/Count'];
  for (let round = 0; round < 12; round++) {
    const session = openSession(t, echo);
    const calls = Array.from({ length: 40 }, (_, at) => {
      const path = paths[at % paths.length] ?? '';
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
      stream.on('error', () => undefined);
      stream.resume();
      stream.write(frame(Buffer.alloc(30_000, 200)).subarray(0, at % 5 === 0 ? 10_000 : undefined));
      if (at % 3 !== 0) stream.end();
      if (at % 7 === 0) setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
      return new Promise((resolve) => stream.on('close', resolve));
    });
    for (let turns = 0; turns < round; turns++) await new Promise((resolve) => setImmediate(resolve));
    session.destroy();
    await Promise.all(calls);
  }
  await stillServes(t, echo, 'afterwards');
  while (echo.server.callsInFlight > 0) await new Promise((resolve) => setImmediate(resolve));
  t.same(echo.faults, []);
  t.equal(echo.server.heldBytes, 0);
});

t.test('takes no more connections than it may', async (t) => {
  const echo = await startEchoServer(t, { maxConnections: 2 });
  const first = openSession(t, echo);
  const second = openSession(t, echo);
  await Promise.all([once(first, 'remoteSettings'), once(second, 'remoteSettings')]);
  const third = openSession(t, echo);
  await once(third, 'close');
  t.match(await send(first, [frame(Buffer.alloc(1))]), { status: '0' });
});

/** The bytes that a client sends for one small call. */
async function recordConnection(): Promise<Buffer> {
  const { createServer } = await import('node:net');
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      if (Buffer.concat(chunks).includes('the end')) resolve();
    });
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  const stream = session.request({ ':method': 'POST', ':path': '/test.Echo/Echo', 'content-type': 'application/grpc' });
  stream.on('error', () => undefined);
  stream.end(frame(Buffer.from('some text, the end')));
  await promise;
  session.destroy();
  server.close();
  return Buffer.concat(chunks);
}
