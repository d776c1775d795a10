/** Raw HTTP/2 against the server: what no honest client sends. Each time the server must go on serving others. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants, type OutgoingHttpHeaders } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { openKmsClient } from '../../../parent/grpc/client.ts';
import { type EchoServer, startEchoServer } from './echo-server.ts';

interface Answer {
  readonly http: number | undefined;
  readonly status: string | undefined;
  readonly reset: number;
}

function openSession(t: Test, { url }: EchoServer): ClientHttp2Session {
  const session = connect(url);
  session.on('error', () => undefined);
  t.teardown(() => session.destroy());
  return session;
}

/** Sends chunks as they are and waits for the end of the stream. */
function send(
  session: ClientHttp2Session,
  chunks: readonly Uint8Array[],
  headers: OutgoingHttpHeaders = {},
  end = true,
): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Echo',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let got: Record<string, unknown> = {};
    stream.on('response', (received) => {
      got = { ...received };
    });
    stream.on('trailers', (received) => {
      got = { ...got, ...received };
    });
    stream.on('error', () => undefined);
    stream.on('close', () =>
      resolve({
        http: typeof got[':status'] === 'number' ? got[':status'] : undefined,
        status: typeof got['grpc-status'] === 'string' ? got['grpc-status'] : undefined,
        reset: stream.rstCode ?? 0,
      }),
    );
    stream.resume();
    for (const chunk of chunks) stream.write(chunk);
    if (end) stream.end();
  });
}

function frame(body: Uint8Array, flag = 0, length = body.length): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

async function stillServes(t: Test, { url }: EchoServer, message: string): Promise<void> {
  const client = openKmsClient(url);
  const answer = await client.callRaw('/test.Echo/Echo', Buffer.from('alive'), { timeoutMs: 10_000 });
  client.close();
  t.equal(Buffer.from(answer).toString(), 'alive', message);
}

t.test('refuses what is not a gRPC request', async (t) => {
  const echo = await startEchoServer(t);
  const session = openSession(t, echo);
  const body = [frame(randomBytes(10))];
  const cases: readonly (readonly [string, OutgoingHttpHeaders, Partial<Answer>])[] = [
    ['GET', { ':method': 'GET' }, { http: 405 }],
    ['no content type', { 'content-type': '' }, { http: 415 }],
    ['HTML', { 'content-type': 'text/html' }, { http: 415 }],
    ['gRPC of another kind', { 'content-type': 'application/grpc-web' }, { http: 415 }],
    ['JSON over gRPC', { 'content-type': 'application/grpc+json' }, { http: 415 }],
    ['no such path', { ':path': '/' }, { http: 200, status: '12' }],
    ['a path of other case', { ':path': '/test.Echo/echo' }, { http: 200, status: '12' }],
    ['unknown encoding', { 'grpc-encoding': 'br' }, { http: 200, status: '12' }],
  ];
  for (const [why, headers, wanted] of cases) t.match(await send(session, body, headers), wanted, why);
  t.match(await send(session, body, { 'content-type': 'application/grpc+proto' }), { status: '0' }, 'the long form');
  t.match(await send(session, body, { 'content-type': 'application/grpc;charset=x' }), { status: '0' }, 'parameters');
  t.match(await send(session, body, { 'grpc-timeout': 'soon' }), { status: '0' }, 'a timeout that is none');
  await stillServes(t, echo, 'afterwards');
});

t.test('refuses messages that are cut, extended, repeated or absent', async (t) => {
  const echo = await startEchoServer(t, { maxMessageBytes: 1000 });
  const session = openSession(t, echo);
  const body = randomBytes(100);
  const cases: readonly (readonly [string, readonly Uint8Array[], string])[] = [
    ['nothing', [], '12'],
    ['half a prefix', [Buffer.alloc(3)], '12'],
    ['a cut message', [frame(body).subarray(0, 50)], '12'],
    ['bytes after the message', [frame(body), Buffer.alloc(1)], '12'],
    ['two messages', [frame(body), frame(body)], '12'],
    ['two messages in one chunk', [Buffer.concat([frame(body), frame(body)])], '12'],
    ['a flag that is none', [frame(body, 2)], '13'],
    ['compressed without encoding', [frame(gzipSync(body), 1)], '13'],
    ['a length beyond the limit', [frame(body, 0, 1001)], '8'],
    ['the largest length there is', [frame(body, 0, 0xffffffff)], '8'],
  ];
  for (const [why, chunks, status] of cases) t.match(await send(session, chunks), { status }, why);
  t.match(await send(session, [frame(Buffer.from('no gzip'), 1)], { 'grpc-encoding': 'gzip' }), { status: '13' });
  t.match(await send(session, [frame(gzipSync(Buffer.alloc(5000)), 1)], { 'grpc-encoding': 'gzip' }), { status: '8' });
  t.match(await send(session, [frame(body, 0)], { 'grpc-encoding': 'gzip' }), { status: '0' }, 'not all is compressed');
  t.equal(echo.server.heldBytes, 0);
  t.same(echo.faults, []);
});

t.test('puts a message together however it was cut', async (t) => {
  const echo = await startEchoServer(t);
  const session = openSession(t, echo);
  const cuts = fc.array(fc.nat(400), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), cuts, async (body, at) => {
      const whole = frame(body);
      const edges = [0, ...at.filter((cut) => cut < whole.length).sort((a, b) => a - b), whole.length];
      const chunks = edges.slice(1).map((edge, index) => whole.subarray(edges[index], edge));
      return (await send(session, chunks)).status === '0';
    }),
    { numRuns: 60 },
  );
  t.pass('60 messages');
});

t.test('takes a large message in single bytes without holding more than it', async (t) => {
  const echo = await startEchoServer(t);
  const session = openSession(t, echo);
  const bytes = Array.from(frame(randomBytes(3000)), (byte) => Uint8Array.of(byte));
  t.match(await send(session, bytes), { status: '0' });
});

t.test('a promised length takes no memory', async (t) => {
  const echo = await startEchoServer(t, { maxHeldBytes: 10_000_000 });
  const session = openSession(t, echo);
  for (let count = 0; count < 30; count++) {
    void send(session, [frame(new Uint8Array(1000), 0, 100_000_000)], {}, false);
  }
  await stillServes(t, echo, 'while thirty calls promise 3 GB');
  t.ok(echo.server.heldBytes <= 30 * 262_144);
});

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
