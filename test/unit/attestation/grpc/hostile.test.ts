/** Peers with secp256k1 certificates before grpc-js, which would end the process if one came through. */
import { once } from 'node:events';
import { connect, createServer } from 'node:tls';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { ALPN } from '../../../../attestation/mesh/tls.ts';
import { parseTcpAddress } from '../../../../attestation/mesh/transport-tcp.ts';
import { createTestMesh } from '../../../helpers/mesh-pair.ts';
import { hostileChain, trustedAuthority } from '../mesh/hostile-chain.ts';
import { echoClient, serveEcho } from './echo.ts';

const peers = [...hostileChain(), trustedAuthority()];

t.test('a grpc-js client refuses such servers and lives on', async (t) => {
  const mesh = await createTestMesh(t);
  const endpoint = await mesh.endpoint('connector');
  for (const { name, cert, key } of peers) {
    const server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false, ALPNProtocols: [ALPN] });
    server.on('tlsClientError', () => undefined);
    server.on('secureConnection', (socket) => socket.on('error', () => undefined));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.teardown(() => server.close());
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const { echo, channel } = echoClient(t, endpoint, `127.0.0.1:${port}`);
    await t.rejects(echo('secret'), { code: status.UNAVAILABLE }, name);
    t.match(channel.failure()?.code, /^ATTESTATION_/, name);
    channel.close();
  }
});

t.test('a grpc-js server refuses such clients and serves the next', async (t) => {
  const mesh = await createTestMesh(t);
  const served = await serveEcho(t, await mesh.endpoint('core'), 'tcp');
  const { host, port } = parseTcpAddress(served.listener.address);
  for (const { name, cert, key } of peers) {
    const socket = connect({ host, port, cert, key, rejectUnauthorized: false, ALPNProtocols: [ALPN] });
    socket.on('error', () => undefined).on('secureConnect', () => socket.write('x'));
    socket.resume();
    await once(socket, 'close');
    t.equal(served.connections.length, 0, name);
  }
  const { echo } = echoClient(t, await mesh.endpoint('connector'), served.target);
  t.equal(await echo('still here'), 'still here');
});
