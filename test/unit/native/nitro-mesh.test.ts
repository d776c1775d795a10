/**
 * Verified mesh connections over vsock sockets: the listener, the dialer and the native relay together.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import t from 'tap';
import { meshDialer } from '../../../attestation/mesh/dialer.ts';
import { listenMesh } from '../../../attestation/mesh/listener.ts';
import type { MeshConnection } from '../../../attestation/mesh/mesh-context.ts';
import { vsockDial, vsockTransport } from '../../../attestation/mesh/transport-vsock.ts';
import { createTestMesh, expectation } from '../../helpers/mesh-pair.ts';
import { fakeVsock } from './nitro-fake.ts';

const ADDRESS = { cid: 16, port: 7000 };

async function setUp(t: Parameters<typeof fakeVsock>[0] & Parameters<typeof createTestMesh>[0]) {
  const { relay } = fakeVsock(t);
  const native = {
    vsockConnect: relay.connect.bind(relay),
    vsockListen: relay.listen.bind(relay),
  };
  const mesh = await createTestMesh(t);
  const accepted: MeshConnection[] = [];
  const listener = await listenMesh({
    transport: vsockTransport(native, ADDRESS),
    endpoint: await mesh.endpoint('engine', { party: 1 }),
    expect: expectation('engine-data', 'engine', { party: 2 }),
    onConnection: (connection) => accepted.push(connection),
  });
  t.teardown(() => listener.close());
  const dialer = async (party: number) =>
    meshDialer({
      dial: vsockDial(native, ADDRESS),
      endpoint: await mesh.endpoint('engine', { party }),
      expect: expectation('engine-data', 'engine', { party: 1 }),
    });
  return { relay, accepted, listener, dialer };
}

t.test('two engines prove themselves over vsock and 32 MB pass unharmed', async (t) => {
  const { relay, accepted, listener, dialer } = await setUp(t);
  t.equal(listener.address, '16:7000');
  const connection = await (await dialer(2))(AbortSignal.timeout(60_000));
  while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const peer = accepted[0];
  if (!peer) throw new Error('no connection');
  t.match(connection.peer, { role: 'engine', party: 1 });
  t.match(peer.peer, { role: 'engine', party: 2 });
  const data = randomBytes(32 * 1024 * 1024);
  const hash = createHash('sha256');
  peer.stream.on('data', (chunk: Buffer) => hash.update(chunk));
  const ended = once(peer.stream, 'end');
  connection.stream.end(data);
  await ended;
  t.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));
  connection.close('done');
  peer.close('done');
  await Promise.all([connection.closed, peer.closed]);
  await listener.close();
  while (relay.size > 0) await new Promise((resolve) => setImmediate(resolve));
});

t.test('a party that is not expected is refused over vsock as anywhere', async (t) => {
  const { accepted, dialer } = await setUp(t);
  await t.rejects((await dialer(1))(AbortSignal.timeout(60_000)), { code: /^ATTESTATION_/ });
  t.equal(accepted.length, 0);
});
