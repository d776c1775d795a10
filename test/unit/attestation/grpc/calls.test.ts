/** grpc-js over the mesh, both sides: calls of every kind, who called, and what happens when one side is not trusted. */
import { once } from 'node:events';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { Client, Metadata, status } from '@grpc/grpc-js';
import t from 'tap';
import { meshPeerOf } from '../../../../attestation/mesh/grpc/peer-of-call.ts';
import { listenMesh } from '../../../../attestation/mesh/listener.ts';
import { unixTransport } from '../../../../attestation/mesh/transport-unix.ts';
import { openGrpcServer } from '../../../../parent/grpc/server.ts';
import { createTestMesh } from '../../../helpers/mesh-pair.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';
import { ECHO, echoClient, serveEcho, unary } from './echo.ts';

const identity = (value: Buffer): Buffer => value;

for (const transport of ['unix', 'tcp'] as const) {
  t.test(`${transport}: unary and streaming calls, and handlers know the peer`, async (t) => {
    const mesh = await createTestMesh(t);
    const served = await serveEcho(t, await mesh.endpoint('core'), transport);
    const { client, channel, echo } = echoClient(t, await mesh.endpoint('connector'), served.target);
    t.equal(await echo('hello'), 'hello');
    t.same([...served.callers], ['connector 1']);
    t.match(channel.peer(), { role: 'core', party: 1, release: 'test' });
    const large = 'x'.repeat(3_000_000);
    t.equal(await echo(large), large, 'three megabytes');
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => echo(`call ${index}`)));
    t.equal(answers[99], 'call 99', 'a hundred at once');
    const sizes: number[] = [];
    const counting = client.makeServerStreamRequest(ECHO.count.path, identity, identity, Buffer.of(50), new Metadata());
    for await (const chunk of counting) sizes.push((chunk as Buffer).byteLength);
    t.same(sizes, new Array(50).fill(1000), 'server streaming');
    const chat = client.makeBidiStreamRequest(ECHO.chat.path, identity, identity, new Metadata());
    for (const word of ['one', 'two']) {
      chat.write(Buffer.from(word));
      const [answer] = await once(chat, 'data');
      t.equal(String(answer), word, 'both ways');
    }
    t.equal(meshPeerOf(chat).role, 'core', 'a client knows the peer of its call, too');
    chat.end();
    await once(chat, 'end');
    t.equal(served.listener.stats().verified, 1, 'all on one connection');
  });
}

t.test('a deadline ends a call and not the connection', async (t) => {
  const mesh = await createTestMesh(t);
  const served = await serveEcho(t, await mesh.endpoint('core'), 'unix');
  const { never, echo } = echoClient(t, await mesh.endpoint('connector'), served.target);
  await t.rejects(never(50), { code: status.DEADLINE_EXCEEDED });
  t.equal(await echo('still'), 'still');
  t.equal(served.listener.stats().accepted, 1);
});

t.test('a client whose connection was cut dials again', async (t) => {
  const mesh = await createTestMesh(t);
  const served = await serveEcho(t, await mesh.endpoint('core'), 'unix');
  const { echo, never } = echoClient(t, await mesh.endpoint('connector'), served.target);
  t.equal(await echo('before'), 'before');
  const lost = never(20_000);
  served.connections[0]?.close('cut by the test');
  await t.rejects(lost, { code: status.UNAVAILABLE }, 'a call whose outcome is unknown is not repeated');
  t.equal(await echo('after'), 'after');
  t.equal(served.listener.stats().verified, 2);
});

t.test('a server that is not trusted gets no call, and the reason is at hand', async (t) => {
  const mesh = await createTestMesh(t);
  const served = await serveEcho(t, await mesh.endpoint('core'), 'tcp');
  const endpoint = await mesh.endpoint('connector', { view: mesh.makeView({ allowed: [] }) });
  const { echo, channel } = echoClient(t, endpoint, served.target);
  await t.rejects(echo('secret'), { code: status.UNAVAILABLE });
  t.equal(channel.failure()?.code, 'ATTESTATION_REJECTED');
  t.equal(served.callers.size, 0);
});

t.test('a client that is not trusted reaches no handler', async (t) => {
  const mesh = await createTestMesh(t);
  const endpoint = await mesh.endpoint('core', { view: mesh.makeView({ allowed: [] }) });
  const served = await serveEcho(t, endpoint, 'unix');
  const { echo } = echoClient(t, await mesh.endpoint('connector'), served.target);
  await t.rejects(echo('let me in'), { code: status.UNAVAILABLE });
  t.same([served.callers.size, served.connections.length], [0, 0]);
});

t.test('plain grpc-js clients and plain HTTP/2 reach nothing', async (t) => {
  const mesh = await createTestMesh(t);
  const served = await serveEcho(t, await mesh.endpoint('core'), 'tcp');
  const { ChannelCredentials } = await import('@grpc/grpc-js');
  const plain = new Client(served.target, ChannelCredentials.createInsecure());
  t.teardown(() => plain.close());
  await t.rejects(unary(plain, ECHO.echo, 'x', 2000), { code: status.UNAVAILABLE }, 'without TLS');
  const tls = new Client(
    served.target,
    ChannelCredentials.createSsl(null, null, null, { rejectUnauthorized: false, checkServerIdentity: () => undefined }),
  );
  t.teardown(() => tls.close());
  await t.rejects(unary(tls, ECHO.echo, 'x', 2000), { code: status.UNAVAILABLE }, 'with TLS of another protocol');
  const session = connect(`http://${served.target}`);
  session.on('error', () => undefined);
  await once(session, 'close');
  t.same([served.callers.size, served.connections.length], [0, 0]);
});

t.test('calls that did not come over the mesh have no peer', async (t) => {
  t.throws(() => meshPeerOf({ getAuthContext: () => null }), { code: 'PERMISSION_DENIED' });
  t.throws(() => meshPeerOf({ getAuthContext: () => ({ sslPeerCertificate: {} }) }), { code: 'PERMISSION_DENIED' });
});

t.test("grpc-js calls this project's own HTTP/2 server over a mesh connection", async (t) => {
  const mesh = await createTestMesh(t);
  const handle = async (body: Uint8Array) => Buffer.from(body).reverse();
  const server = openGrpcServer({
    methods: new Map([[ECHO.echo.path, { kind: 'unary', handle }]]),
    onFault: (error) => t.fail(String(error)),
  });
  t.teardown(() => server.close(0));
  const path = join(tempDir(t), 's');
  const listener = await listenMesh({
    transport: unixTransport(path),
    endpoint: await mesh.endpoint('core'),
    expect: { service: 'core-grpc', role: 'connector' },
    onConnection: ({ stream, peer }) => server.inject(stream, { kind: 'mesh', role: peer.role, party: peer.party }),
  });
  t.teardown(() => listener.close());
  const { echo } = echoClient(t, await mesh.endpoint('connector'), `unix:${path}`);
  t.equal(await echo('abc'), 'cba');
  const large = 'y'.repeat(500_000);
  t.equal((await echo(large)).length, large.length);
});
