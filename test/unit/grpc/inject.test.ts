/** Streams that somebody else verified: served like connections of the server's own, with the caller that is said. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { createServer, type Socket, connect as tcpConnect } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import t, { type Test } from 'tap';
import { frameMessage } from '../../../parent/grpc/framing.ts';
import { startEchoServer } from './echo-server.ts';

const CALLER = { kind: 'mesh', role: 'connector', party: 3 } as const;

/** Calls over a stream, as a client that dialled it. */
function callOver(t: Test, stream: Duplex, path: string, body: Uint8Array): Promise<Buffer> {
  const session = connectHttp2('http://localhost', { createConnection: () => stream });
  session.on('error', () => undefined);
  t.teardown(() => session.destroy());
  const call = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const chunks: Buffer[] = [];
  call.on('data', (chunk: Buffer) => chunks.push(chunk));
  call.end(frameMessage(body));
  return new Promise((resolve, reject) => {
    call.once('error', reject);
    call.once('end', () => resolve(Buffer.concat(chunks).subarray(5)));
  });
}

/** Two ends of one TCP connection on loopback. */
async function tcpPair(t: Test): Promise<{ client: Socket; server: Socket }> {
  const listener = createServer({ pauseOnConnect: true });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection');
  const bound = listener.address();
  const client = tcpConnect(typeof bound === 'object' && bound !== null ? bound.port : 0, '127.0.0.1');
  const [server] = await accepted;
  listener.close();
  t.teardown(() => client.destroy());
  return { client, server };
}

t.test('serves a native socket and a plain stream, and says who calls', async (t) => {
  const { server } = await startEchoServer(t);
  const tcp = await tcpPair(t);
  const [near, far] = duplexPair();
  for (const [why, here, there] of [
    ['socket', tcp.client, tcp.server],
    ['stream', near, far],
  ] as const) {
    server.inject(there, CALLER);
    const answer = await callOver(t, here, '/test.Echo/Who', new Uint8Array(0));
    t.strictSame(JSON.parse(answer.toString()), CALLER, why);
  }
});

t.test('reads first what the stream had read before it was handed over', async (t) => {
  const { server } = await startEchoServer(t);
  const { client, server: socket } = await tcpPair(t);
  const answer = callOver(t, client, '/test.Echo/Echo', Buffer.alloc(50_000, 7));
  // The client's preface lies in the socket's buffer, put back after somebody looked at its first bytes.
  await once(socket, 'readable');
  const first = socket.read();
  t.ok(first.byteLength > 0, 'read ahead');
  socket.unshift(first);
  server.inject(socket, CALLER);
  t.equal((await answer).byteLength, 50_000);
});

t.test('counts and closes injected connections with its own', async (t) => {
  const { server, waiting } = await startEchoServer(t);
  const { client, server: socket } = await tcpPair(t);
  server.inject(socket, CALLER);
  const began = waiting();
  callOver(t, client, '/test.Echo/Wait', new Uint8Array(0)).catch(() => undefined);
  const { cancelled } = await began;
  t.equal(server.callsInFlight, 1);
  await server.close(20);
  await cancelled;
  t.equal(server.callsInFlight, 0);
});

t.test('takes no stream once it is closed', async (t) => {
  const { server } = await startEchoServer(t);
  await server.close(0);
  const { client, server: socket } = await tcpPair(t);
  const gone = once(client, 'close');
  server.inject(socket, CALLER);
  await gone;
  t.pass();
});

t.test('a stream that breaks is no fault', async (t) => {
  const { server, faults } = await startEchoServer(t);
  const [near, far] = duplexPair();
  server.inject(far, CALLER);
  far.destroy(new Error('broken'));
  near.destroy();
  const tcp = await tcpPair(t);
  server.inject(tcp.server, CALLER);
  tcp.client.resetAndDestroy();
  await once(tcp.server, 'close');
  t.strictSame(faults, []);
});
