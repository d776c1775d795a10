/**
 * The mesh over vsock, by the native relay with Unix sockets in place of AF_VSOCK: TLS on a native handle, frames both
 * ways, and an end that is told.
 */
import t from 'tap';
import { meshDialer } from '../../../../attestation/mesh/dialer.ts';
import { FrameLink } from '../../../../attestation/mesh/frame-link.ts';
import { listenMesh } from '../../../../attestation/mesh/listener.ts';
import { vsockDial, vsockTransport } from '../../../../attestation/mesh/transport-vsock.ts';
import { systemClock } from '../../../../common/clock.ts';
import { createTestMesh } from '../../../helpers/mesh-pair.ts';
import { fakeVsock } from '../../native/nitro-fake.ts';

const ENCLAVE_CID = 16;
const PORT = 6000;

t.test('a Core reaches its engine over vsock, and frames go both ways', async (t) => {
  const { relay } = fakeVsock(t);
  const native = {
    vsockConnect: (to: Parameters<typeof relay.connect>[0]) => relay.connect(to),
    vsockListen: (...args: Parameters<typeof relay.listen>) => relay.listen(...args),
  };
  const mesh = await createTestMesh(t);
  const far = new FrameLink({ peer: 'core', clock: systemClock });
  const listener = await listenMesh({
    transport: vsockTransport(native, { port: PORT, cid: ENCLAVE_CID }),
    endpoint: await mesh.endpoint('engine'),
    expect: { service: 'engine-calls', role: 'core', sameInstance: true },
    onConnection: ({ stream }) => void far.attach(stream),
  });
  t.teardown(() => listener.close());
  const connection = await meshDialer({
    dial: vsockDial(native, { cid: ENCLAVE_CID, port: PORT }),
    endpoint: await mesh.endpoint('core'),
    expect: { service: 'engine-calls', role: 'engine', sameInstance: true },
  })(AbortSignal.timeout(60_000));
  t.match(connection.peer, { role: 'engine', party: 1 });
  const near = new FrameLink({ peer: 'engine', clock: systemClock });
  await near.attach(connection.stream).ready;
  const id = new Uint8Array(32).fill(3);
  const [a, b] = [near.open(id), far.open(id)];
  const payload = Buffer.alloc(1_000_000, 0x5a);
  const sent = Promise.all([a.send(1, payload), b.send(2, payload)]);
  const [atB, atA] = await Promise.all([b.receive(), a.receive()]);
  await sent;
  t.ok(
    payload.equals(atB?.payload ?? Buffer.alloc(0)) && payload.equals(atA?.payload ?? Buffer.alloc(0)),
    '1 MB each way',
  );
  near.close('done');
  await t.rejects(b.receive(), { code: 'UNAVAILABLE', message: /core/ });
});
