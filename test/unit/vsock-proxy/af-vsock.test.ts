/**
 * AF_VSOCK on the parent, with Unix sockets in place of the kernel's vsock.
 */
import { once } from 'node:events';
import { symlinkSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { VSOCK_CID_ANY } from '../../../native/nitro/index.ts';
import { afVsock } from '../../../vsock-proxy/af-vsock.ts';
import { fakeVsock } from '../native/nitro-fake.ts';
import { remote } from '../native/nitro-vsock-pairs.ts';

/** The stand-in's own dials come from it. */
const ENCLAVE_CID = 16;

t.test('the enclave of a CID is dialled, and only it is listened to', async (t) => {
  const { relay, addressOf } = fakeVsock(t);
  const foreign: [number, number][] = [];
  /** Listens for the enclave `cid`, and dials as the one that is there. */
  const dialPortFor = async (cid: number, port: number) => {
    const vsock = afVsock(relay, cid, 10_000, (from, on) => foreign.push([from, on]));
    t.same(vsock.address, { cid });
    const listener = await vsock.listen(port, (socket) => void socket.resume().end(`for ${cid}`));
    t.teardown(() => listener.close());
    symlinkSync(addressOf(VSOCK_CID_ANY, port), addressOf(3, port));
    const socket = await relay.connect({ cid: 3, port, timeoutMs: 10_000 });
    return await text(socket).catch((error: NodeJS.ErrnoException) => error.code);
  };
  t.equal(await dialPortFor(ENCLAVE_CID, 7000), `for ${ENCLAVE_CID}`);
  t.same(foreign, []);
  t.not(await dialPortFor(ENCLAVE_CID + 1, 7001), `for ${ENCLAVE_CID + 1}`);
  t.same(foreign, [[ENCLAVE_CID, 7001]], 'told');
});

t.test('a port of the enclave is dialled by its CID', async (t) => {
  const { relay, addressOf } = fakeVsock(t);
  await remote(t, addressOf(17, 7100), (socket) => socket.end('the engine'));
  const socket = await afVsock(relay, 17, 10_000, undefined).connect(7100);
  const [said] = await once(socket, 'data');
  t.equal(String(said), 'the engine');
  socket.destroy();
  await t.rejects(afVsock(relay, 18, 10_000, undefined).connect(7100), { code: 'UNAVAILABLE' });
});
