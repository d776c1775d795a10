/** Listening and dialling over real transports: who is verified gets through, whoever else comes costs little. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { BudgetLimits } from '../../../../attestation/mesh/budget.ts';
import { meshDialer } from '../../../../attestation/mesh/dialer.ts';
import { listenMesh, type MeshListener } from '../../../../attestation/mesh/listener.ts';
import type { MeshConnection } from '../../../../attestation/mesh/mesh-context.ts';
import type { Dial, Transport } from '../../../../attestation/mesh/transport.ts';
import { parseTcpAddress, tcpDial, tcpTransport } from '../../../../attestation/mesh/transport-tcp.ts';
import { unixDial, unixTransport } from '../../../../attestation/mesh/transport-unix.ts';
import { createLogger, type Logger } from '../../../../common/log.ts';
import { createTestMesh, type TestMesh } from '../../../helpers/mesh-pair.ts';
import { tempDir } from '../../../helpers/temp-dir.ts';

const signal = () => AbortSignal.timeout(60_000);

interface Served {
  readonly mesh: TestMesh;
  readonly listener: MeshListener;
  readonly accepted: MeshConnection[];
  readonly dial: Dial;
}

/** Party 1's engine listens for engines. */
async function serve(t: Test, name: 'unix' | 'tcp', budget: Partial<BudgetLimits> = {}, log?: Logger): Promise<Served> {
  const mesh = await createTestMesh(t);
  const accepted: MeshConnection[] = [];
  const path = join(tempDir(t), 's');
  const transport: Transport = name === 'unix' ? unixTransport(path) : tcpTransport({ host: '127.0.0.1', port: 0 });
  const listener = await listenMesh({
    transport,
    endpoint: await mesh.endpoint('engine', log ? { log } : {}),
    expect: { service: 'engine-data', role: 'engine' },
    budget,
    onConnection: (connection) => accepted.push(connection),
  });
  t.teardown(() => listener.close());
  const dial = name === 'unix' ? unixDial(path) : tcpDial(parseTcpAddress(listener.address));
  return { mesh, listener, accepted, dial };
}

/** A raw connection that writes some bytes and then nothing. Resolves when it is open. */
async function stranger(t: Test, { dial }: Served, bytes?: Uint8Array): Promise<Socket> {
  const socket = (await dial(signal())) as Socket;
  socket.on('error', () => undefined).resume();
  t.teardown(() => socket.destroy());
  if (bytes) socket.write(bytes);
  return socket;
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}

for (const name of ['unix', 'tcp'] as const) {
  t.test(`${name}: a verified peer gets through and bytes flow both ways`, async (t) => {
    const served = await serve(t, name);
    const endpoint = await served.mesh.endpoint('engine', { party: 2 });
    const expect = { service: 'engine-data', role: 'engine', party: 1 } as const;
    const connection = await meshDialer({ dial: served.dial, endpoint, expect })(signal());
    await until(() => served.accepted.length === 1);
    const [accepted] = served.accepted;
    t.match([connection.peer, accepted?.peer], [{ party: 1 }, { party: 2 }]);
    connection.stream.write('ping');
    accepted?.stream.write('pong');
    const streams = [connection.stream, accepted?.stream ?? t.fail()] as const;
    const [[atClient], [atServer]] = await Promise.all([once(streams[0], 'data'), once(streams[1] as Socket, 'data')]);
    t.same([String(atClient), String(atServer)], ['pong', 'ping']);
    t.match(served.listener.stats(), { accepted: 1, verified: 1, admitted: 1, handshakes: 0, silent: 0 });
    connection.close('done');
    await until(() => served.listener.stats().admitted === 0);
    t.pass('its slot is free again');
  });

  t.test(`${name}: garbage, hang-ups and silence never reach TLS`, async (t) => {
    const served = await serve(t, name);
    const quiet = await stranger(t, served);
    const half = await stranger(t, served, Uint8Array.of(22, 3, 1, 2, 0, 1));
    await stranger(t, served, Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await stranger(t, served, Uint8Array.of(22, 3, 1, 0xff, 0xff, 1));
    await stranger(t, served, Uint8Array.of(22, 3, 1, 2, 0, 2));
    const gone = await stranger(t, served, Uint8Array.of(22, 3));
    gone.end();
    await until(() => served.listener.stats().unspoken === 4);
    t.match(served.listener.stats(), { accepted: 6, silent: 2, handshakes: 0, refused: 0 });
    t.notOk(quiet.destroyed || half.destroyed, 'silence is given some time');
  });
}

t.test('one knock at the door is counted, a crowd is worth a line', async (t) => {
  const lines: { event?: string }[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const served = await serve(t, 'tcp', {}, createLogger({ name: 'test', level: 'info', destination }));
  const reported = () => lines.filter(({ event }) => event === 'mesh.strangers');
  for (let knock = 0; knock < 9; knock++) (await stranger(t, served)).end();
  await until(() => served.listener.stats().unspoken === 9);
  t.same(reported(), []);
  (await stranger(t, served)).end();
  await until(() => served.listener.stats().unspoken === 10);
  t.match(reported(), [{ unspoken: 10 }]);
});

t.test('a ClientHello that goes nowhere is refused, and a peer of another kind too', async (t) => {
  const served = await serve(t, 'tcp');
  const endpoint = await served.mesh.endpoint('core');
  const expect = { service: 'engine-data', role: 'engine' } as const;
  await t.rejects(meshDialer({ dial: served.dial, endpoint, expect })(signal()), { name: 'KmsError' });
  await until(() => served.listener.stats().refused === 1);
  t.equal(served.accepted.length, 0);
});

t.test('a crowd of silent strangers is bounded, and a true peer gets in', async (t) => {
  const served = await serve(t, 'unix', { silent: 5 });
  const crowd: Socket[] = [];
  for (let index = 0; index < 12; index++) crowd.push(await stranger(t, served));
  await until(() => served.listener.stats().evicted === 7);
  t.equal(served.listener.stats().silent, 5);
  const endpoint = await served.mesh.endpoint('engine', { party: 2 });
  const expect = { service: 'engine-data', role: 'engine', party: 1 } as const;
  const connection = await meshDialer({ dial: served.dial, endpoint, expect })(signal());
  t.equal(connection.peer.party, 1);
  await until(() => crowd.filter(({ destroyed }) => destroyed).length >= 7);
});

t.test('a party has so many connections and no more; the other party has its own', async (t) => {
  const served = await serve(t, 'tcp', { perParty: 2 });
  const dialer = async (party: number) => {
    const endpoint = await served.mesh.endpoint('engine', { party });
    return meshDialer({ dial: served.dial, endpoint, expect: { service: 'engine-data', role: 'engine', party: 1 } });
  };
  const two = await dialer(2);
  const first = await two(signal());
  await two(signal());
  await t.rejects(two(signal()), { name: 'KmsError' }, 'the third');
  t.match(served.listener.stats(), { overParty: 1, admitted: 2 });
  first.close('room');
  await until(() => served.listener.stats().admitted === 1);
  t.equal((await two(signal())).peer.party, 1, 'after one has gone');
});

t.test('closing a listener ends what it has accepted and frees the address', async (t) => {
  const served = await serve(t, 'tcp');
  const endpoint = await served.mesh.endpoint('engine', { party: 2 });
  const expect = { service: 'engine-data', role: 'engine' } as const;
  const connection = await meshDialer({ dial: served.dial, endpoint, expect })(signal());
  const quiet = await stranger(t, served);
  await until(() => served.accepted.length === 1);
  await served.listener.close();
  t.match(await served.accepted[0]?.closed, 'the listener was closed');
  await connection.closed;
  if (!quiet.destroyed) await once(quiet, 'close');
  await t.rejects(served.dial(signal()), { code: 'UNAVAILABLE', message: /nobody listens/ });
});
