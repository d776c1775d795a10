/** gRPC messages that no honest client sends, over raw HTTP/2. Each time the server must go on serving others. */
import { randomBytes } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { startEchoServer } from './echo-server.ts';
import { type Answer, frame, openSession, send, stillServes } from './raw-http2.ts';

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
