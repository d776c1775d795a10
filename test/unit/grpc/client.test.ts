/** The gRPC client: what it says when a node is away, slow, or no node at all; headers and timeouts as bytes. */
import { once } from 'node:events';
import { createServer as createHttp2 } from 'node:http2';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type KmsClient, openKmsClient } from '../../../parent/grpc/client.ts';
import { decodeDetails, decodeMessage, encodeMessage, GrpcError } from '../../../parent/grpc/status.ts';
import { formatTimeout, parseTimeout } from '../../../parent/grpc/timeout.ts';
import { startEchoServer } from './echo-server.ts';

function open(t: Test, url: string): KmsClient {
  const client = openKmsClient(url);
  t.teardown(() => client.close());
  return client;
}

const statusOf = (call: Promise<unknown>): Promise<number | undefined> =>
  call.then(
    () => 0,
    (error: unknown) => (error instanceof GrpcError ? error.status : undefined),
  );

t.test('rejects with the status, the message and the details of the server', async (t) => {
  const { url } = await startEchoServer(t);
  const error = await open(t, url)
    .callRaw('/test.Echo/Fail', new Uint8Array(0))
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  t.ok(error instanceof GrpcError);
  t.match(error, {
    status: 5,
    statusName: 'NOT_FOUND',
    message: 'no such thing: 100% gone, é',
    explanation: 'there is nothing here',
    details: { reason: 'NOT_FOUND', retryAfterMs: 1500 },
  });
});

t.test('says UNAVAILABLE when nobody listens, and connects once somebody does', async (t) => {
  const first = await startEchoServer(t);
  const client = open(t, `127.0.0.1:${first.port}`);
  await first.server.close();
  t.equal(await statusOf(client.callRaw('/test.Echo/Echo', new Uint8Array(1))), 14);
  const second = await startEchoServer(t);
  const other = open(t, second.url);
  t.equal((await other.callRaw('/test.Echo/Echo', new Uint8Array(1))).length, 1);
});

t.test('says UNAVAILABLE when the server is no gRPC server', async (t) => {
  const server = createHttp2();
  server.on('stream', (stream) => {
    stream.respond({ ':status': 404 }, { endStream: true });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = openKmsClient(`127.0.0.1:${port}`);
  await t.rejects(client.callRaw('/test.Echo/Echo', new Uint8Array(1)), { status: 14, message: /HTTP 404/ });
  client.close();
});

t.test('cancels by signal, before and during a call', async (t) => {
  const echo = await startEchoServer(t);
  const client = open(t, echo.url);
  t.equal(await statusOf(client.callRaw('/test.Echo/Wait', new Uint8Array(0), { signal: AbortSignal.abort() })), 1);
  const abort = new AbortController();
  const began = echo.waiting();
  const running = client.callRaw('/test.Echo/Wait', new Uint8Array(0), { signal: abort.signal });
  running.catch(() => undefined);
  const { cancelled } = await began;
  abort.abort();
  t.equal(await statusOf(running), 1);
  await cancelled;
  t.pass('and the server hears of it');
});

t.test('gives up at the deadline', async (t) => {
  const { url } = await startEchoServer(t);
  t.equal(await statusOf(open(t, url).callRaw('/test.Echo/Wait', new Uint8Array(0), { timeoutMs: 30 })), 4);
});

t.test('any text survives as a status message', async (t) => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => decodeMessage(encodeMessage(text)) === text));
  t.equal(encodeMessage('50% – ä\n'), '50%25 %E2%80%93 %C3%A4%0A');
  t.equal(decodeMessage('100%, %zz'), '100%, %zz', 'stray percent signs stay');
});

t.test('anything may stand where details belong', async (t) => {
  fc.assert(fc.property(fc.string(), (text) => decodeDetails(text) === undefined));
  t.pass();
});

t.test('reads and writes timeouts', async (t) => {
  const cases = [
    ['1S', 1000],
    ['250m', 250],
    ['3M', 180_000],
    ['500000u', 500],
    ['1000000n', 1],
    ['99999999H', 2_147_483_647],
    ['1', undefined],
    ['-1S', undefined],
    ['123456789S', undefined],
    ['', undefined],
    ['1.5S', undefined],
  ] as const;
  for (const [header, ms] of cases) t.equal(parseTimeout(header), ms, header);
  for (const ms of [0, 1, 99_999_999, 100_000_000]) t.equal(parseTimeout(formatTimeout(ms)), ms, `${ms}`);
});
