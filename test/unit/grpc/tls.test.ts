/** TLS towards clients: who gets in, who is who, certificates that change. */
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { type ClientTls, openKmsClient } from '../../../parent/grpc/client.ts';
import { GrpcError, STATUS } from '../../../parent/grpc/status.ts';
import type { TlsMaterial, TlsSource } from '../../../parent/grpc/tls-source.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';
import { type EchoServer, startEchoServer } from './echo-server.ts';

const ca = makeTestCa();
const clientCa = makeTestCa('Client CA');
const material = (): TlsMaterial => ({ ...ca.issue({ subject: 'localhost' }), clientCa: clientCa.pem });

/** A source that changes when the test says so. */
function settable(first: TlsMaterial): TlsSource & { set(next: TlsMaterial): void } {
  let now = first;
  const listeners = new Set<(material: TlsMaterial) => void>();
  return {
    current: () => now,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => undefined,
    set(next) {
      now = next;
      for (const listener of listeners) listener(next);
    },
  };
}

const start = (t: Test, tls: TlsSource = settable(material())): Promise<EchoServer> => startEchoServer(t, {}, { tls });

async function whoAmI(t: Test, { url }: EchoServer, tls: ClientTls = {}): Promise<unknown> {
  const client = openKmsClient(url, { ca: ca.pem, ...tls });
  t.teardown(() => client.close());
  const answer = await client.callRaw('/test.Echo/Who', new Uint8Array(0), { timeoutMs: 5000 });
  return JSON.parse(Buffer.from(answer).toString());
}

/** Connects by hand. @returns What the connection came to: `open` once the server has sent HTTP/2, else why it ended. */
async function handshake({ port }: EchoServer, options: ConnectionOptions): Promise<string> {
  const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, ca: ca.pem, ALPNProtocols: ['h2'], ...options });
  const outcome = Promise.withResolvers<string>();
  socket.on('error', (error) => outcome.resolve('code' in error ? String(error.code) : error.message));
  socket.on('close', () => outcome.resolve('closed'));
  socket.on('data', () => outcome.resolve('open'));
  const result = await outcome.promise;
  socket.destroy();
  return result;
}

t.test('serves clients without a certificate, and knows that they have none', async (t) => {
  t.strictSame(await whoAmI(t, await start(t)), { kind: 'tls' });
});

t.test('knows the subject of a client certificate, as RFC 4514 writes it', async (t) => {
  const echo = await start(t);
  const subject = [
    ['2.5.4.6', 'CH'],
    ['2.5.4.10', 'Example, Inc.'],
    ['2.5.4.3', 'alice+ops'],
  ] as const;
  t.strictSame(await whoAmI(t, echo, clientCa.issue({ subject })), {
    kind: 'tls',
    subject: { commonName: 'alice+ops', rfc4514: 'CN=alice\\+ops,O=Example\\, Inc.,C=CH' },
  });
  t.strictSame(await whoAmI(t, echo, clientCa.issue({ subject: [['2.5.4.10', 'nobody']] })), {
    kind: 'tls',
    subject: { rfc4514: 'O=nobody' },
  });
});

t.test('turns bad client certificates away instead of taking them for none', async (t) => {
  const echo = await start(t);
  const nowMs = Date.now();
  const cases = [
    ['another authority', makeTestCa('Client CA').issue({ subject: 'alice' })],
    ['the authority of servers', ca.issue({ subject: 'alice' })],
    ['expired', clientCa.issue({ subject: 'alice', notAfterMs: nowMs - 1000 })],
    ['not yet valid', clientCa.issue({ subject: 'alice', notBeforeMs: nowMs + 60_000 })],
  ] as const;
  for (const [why, certificate] of cases) {
    t.not(await handshake(echo, certificate), 'open', why);
    t.match(echo.refused.shift(), /does not verify/, why);
  }
  t.strictSame(await whoAmI(t, echo), { kind: 'tls' }, 'and others are served');
});

t.test('asks for no certificate when it has no authority for them', async (t) => {
  const echo = await start(t, settable(ca.issue({ subject: 'localhost' })));
  t.strictSame(await whoAmI(t, echo, clientCa.issue({ subject: 'alice' })), { kind: 'tls' });
});

t.test('speaks TLS 1.3 and HTTP/2 alone', async (t) => {
  const echo = await start(t);
  t.equal(await handshake(echo, {}), 'open');
  t.match(await handshake(echo, { maxVersion: 'TLSv1.2' }), /PROTOCOL_VERSION/);
  t.match(await handshake(echo, { ALPNProtocols: ['http/1.1'] }), /ALPN|closed|NO_APPLICATION_PROTOCOL/);
  t.equal(await handshake(echo, { ALPNProtocols: [] }), 'closed');
  t.match(echo.refused.at(-1), /ALPN h2/);
});

t.test('never resumes a session', async (t) => {
  const { port } = await start(t);
  const options = { host: '127.0.0.1', port, ca: ca.pem, ALPNProtocols: ['h2'] };
  const first = connectTls(options);
  const tickets: Buffer[] = [];
  first.on('session', (ticket) => tickets.push(ticket));
  await once(first, 'data');
  first.destroy();
  for (const session of tickets) {
    const again = connectTls({ ...options, session });
    await once(again, 'secureConnect');
    t.equal(again.isSessionReused(), false, 'a ticket that is good for nothing');
    again.destroy();
  }
  t.pass();
});

t.test('serves a new certificate from the next connection on, and lets the others be', async (t) => {
  const source = settable(material());
  const echo = await start(t, source);
  const client = openKmsClient(echo.url, { ca: ca.pem });
  t.teardown(() => client.close());
  await client.callRaw('/test.Echo/Echo', new Uint8Array(1));
  const other = makeTestCa('Other CA');
  source.set(other.issue({ subject: 'localhost' }));
  t.strictSame(await whoAmI(t, echo, { ca: other.pem }), { kind: 'tls' });
  await t.rejects(whoAmI(t, echo), { name: 'GrpcError', status: STATUS.UNAVAILABLE }, 'who trusts the old one only');
  t.equal((await client.callRaw('/test.Echo/Echo', new Uint8Array(1))).length, 1, 'the open connection');
});

t.test('judges a call before its message, by path and caller', async (t) => {
  const seen: unknown[] = [];
  const tls = settable(material());
  const authorize = (path: string, caller: unknown): GrpcError | undefined => {
    seen.push([path, caller]);
    return path.endsWith('Echo') ? new GrpcError(STATUS.PERMISSION_DENIED, 'not you') : undefined;
  };
  const { url } = await startEchoServer(t, {}, { tls, authorize });
  const client = openKmsClient(url, { ca: ca.pem });
  t.teardown(() => client.close());
  await t.rejects(client.callRaw('/test.Echo/Echo', new Uint8Array(100_000)), { status: 7, message: 'not you' });
  await t.rejects(
    client.callRaw('/test.Echo/None', new Uint8Array(0)),
    { name: 'GrpcError', status: 12 },
    'what does not exist is not judged',
  );
  t.strictSame(seen, [['/test.Echo/Echo', { kind: 'tls' }]]);
});

t.test('a client that never finishes its handshake does not keep the server from stopping', async (t) => {
  const { server, port } = await start(t);
  const silent = connectTcp(port, '127.0.0.1');
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  silent.write(Buffer.from('160301', 'hex'));
  const gone = once(silent, 'close');
  await server.close(20);
  await gone;
  t.pass();
});

t.test('connections that never become one are cut, and hold no place for long', async (t) => {
  const limits = { prefaceTimeoutMs: 2_000, maxConnections: 20 };
  const echo = await startEchoServer(t, limits, { tls: settable(material()) });
  const silent = Array.from({ length: 20 }, () => connectTcp(echo.port, '127.0.0.1'));
  for (const socket of silent) socket.on('error', () => undefined);
  await Promise.all(silent.map((socket) => once(socket.resume(), 'close')));
  t.strictSame(await whoAmI(t, echo), { kind: 'tls' }, 'no handshake');
  const idle = connectTls({ host: '127.0.0.1', port: echo.port, ca: ca.pem, ALPNProtocols: ['h2'] });
  idle.on('error', () => undefined);
  await once(idle.resume(), 'close');
  t.strictSame(await whoAmI(t, echo), { kind: 'tls' }, 'no HTTP/2 after the handshake');
});

t.test('garbage in place of a handshake is told from TLS, and others are served', async (t) => {
  const echo = await start(t);
  for (const bytes of [
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.alloc(20_000, 7),
    Buffer.from('16030100', 'hex'),
  ]) {
    const socket = connectTcp(echo.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(bytes);
    await once(socket.resume(), 'close');
  }
  t.ok(echo.refused.length >= 2, 'said to the operator');
  t.strictSame(await whoAmI(t, echo), { kind: 'tls' });
});
