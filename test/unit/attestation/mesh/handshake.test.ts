/**
 * Two endpoints prove themselves to each other, and only then bytes flow: all of them, and nobody else's.
 */
import { once } from 'node:events';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import { type Duplex, Transform } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import t from 'tap';
import { acceptMesh } from '../../../../attestation/mesh/accept.ts';
import type { HandshakeGate } from '../../../../attestation/mesh/budget.ts';
import { connectMesh } from '../../../../attestation/mesh/connect.ts';
import { encodeProof } from '../../../../attestation/mesh/proof.ts';
import { decodeVerdict, readMessage, writeMessage } from '../../../../attestation/mesh/wire-messages.ts';
import type { Role } from '../../../../attestation/role.ts';
import { connectPair, createTestMesh, expectation } from '../../../helpers/mesh-pair.ts';
import { rawPair } from '../../../helpers/raw-pair.ts';
import { forgeLeaf, forgeProof, intrude } from './adversary.ts';
import { attack, outcome, SIGNAL, stage } from './scene.ts';

const MARKER = 'nobody on the way reads this';

t.test('a Core and its engine connect and exchange bytes', async (t) => {
  const mesh = await createTestMesh(t);
  for (const transport of ['unix', 'tcp'] as const) {
    const [client, server] = [await mesh.endpoint('core'), await mesh.endpoint('engine')];
    const [core, engine] = await connectPair(t, client, server, { transport });
    t.match(core.peer, { role: 'engine', party: 1, release: 'test', incarnation: 1 }, transport);
    t.match(engine.peer, { role: 'core', party: 1, release: 'test', address: undefined }, transport);
    t.same(core.peer.address, mesh.parties[0]?.address, 'the engine is known by its node address');
    core.stream.write('ping');
    engine.stream.write('pong');
    const [[atEngine], [atCore]] = await Promise.all([once(engine.stream, 'data'), once(core.stream, 'data')]);
    t.same([String(atEngine), String(atCore)], ['ping', 'pong'], transport);
    core.close('done');
    t.equal(await core.closed, 'done');
    t.equal(await engine.closed, 'the peer closed it');
  }
});

t.test('a Connector and a Core connect, and so do engines of two parties', async (t) => {
  const mesh = await createTestMesh(t);
  const core = await mesh.endpoint('core');
  const [connector] = await connectPair(t, await mesh.endpoint('connector'), core);
  t.match(connector.peer, { role: 'core', party: 1, address: undefined });
  const engines = [await mesh.endpoint('engine'), await mesh.endpoint('engine', { party: 2 })] as const;
  const [first, second] = await connectPair(t, ...engines);
  t.same(first.peer.address, mesh.parties[1]?.address);
  t.same(second.peer.address, mesh.parties[0]?.address);
  t.match(first.peer.hello, { releaseSetVersion: 1, recordVersion: 1, manifestVersion: 0 });
});

t.test('what is written at once arrives whole, with nothing of the handshake before it', async (t) => {
  const mesh = await createTestMesh(t);
  const [near, far] = await rawPair(t);
  const whole = Buffer.alloc(1_000_000, 'each byte in its place ');
  const accepting = acceptMesh(far, await mesh.endpoint('engine'), expectation('engine-calls', 'core'), SIGNAL);
  const dialling = connectMesh(near, await mesh.endpoint('core'), expectation('engine-calls', 'engine'), SIGNAL);
  void dialling.then(({ stream }) => stream.end(whole));
  const { stream } = await accepting;
  // Long enough for bytes to lie in the stream's buffer before anybody reads.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  t.ok(whole.equals(await buffer(stream)));
});

t.test('node:http2 takes both ends of a connection', async (t) => {
  const mesh = await createTestMesh(t);
  const [near, far] = await connectPair(t, await mesh.endpoint('core'), await mesh.endpoint('engine'));
  const server = createHttp2();
  server.on('stream', (stream) => void text(stream).then((body) => stream.end(`heard ${body}`)));
  server.emit('connection', far.stream);
  const session = connectHttp2('http://mesh', { createConnection: () => near.stream });
  const request = session.request({ ':method': 'POST', ':path': '/' });
  request.end('a call');
  t.equal(await text(request), 'heard a call');
  await new Promise<void>((resolve) => session.close(resolve));
  server.close();
});

t.test('no byte is handed on before both verdicts', async (t) => {
  const scene = await stage(t);
  const early = await attack(t, scene, {}, async (intruder, leaf) => {
    const proof = await forgeProof(scene.evil.self, leaf, intruder);
    await writeMessage(intruder.socket, 'proof', encodeProof(proof));
    intruder.socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  });
  t.equal(early, 'version', 'application bytes in place of the verdict are no verdict');
  const [near, far] = await rawPair(t);
  let settled = false;
  const accepting = outcome(acceptMesh(far, scene.honest, scene.expect, SIGNAL)).finally(() => {
    settled = true;
  });
  const leaf = await forgeLeaf({ self: scene.evil.self });
  const intruder = await intrude(near, leaf, 'engine-data');
  await writeMessage(intruder.socket, 'proof', encodeProof(await forgeProof(scene.evil.self, leaf, intruder)));
  // The acceptor's proof and its accepting verdict have come, ours has not gone.
  await once(intruder.socket, 'readable');
  t.equal(settled, false, 'still waiting for the verdict');
  near.destroy();
  t.equal(await accepting, 'UNAVAILABLE', 'nothing was found wrong with it');
});

t.test(
  'whoever was accepted and gives its own verdict too late is told nothing: it may have a connection by then',
  async (t) => {
    const scene = await stage(t);
    const [near, far] = await rawPair(t);
    const late = new AbortController();
    const accepting = outcome(acceptMesh(far, scene.honest, scene.expect, late.signal));
    const leaf = await forgeLeaf({ self: scene.evil.self });
    const intruder = await intrude(near, leaf, 'engine-data');
    const { socket } = intruder;
    const proof = await forgeProof(scene.evil.self, leaf, intruder);
    await writeMessage(socket, 'proof', encodeProof(proof));
    t.equal((await readMessage(socket, 16_384, SIGNAL)).type, 'proof');
    t.same(decodeVerdict((await readMessage(socket, 0, SIGNAL)).body), [], 'it is accepted');
    late.abort();
    t.equal((await buffer(socket)).byteLength, 0, 'a verdict here would be bytes of the application');
    await accepting;
  },
);

/** Stands between two ends and shows all bytes to `look`, which may change them. */
async function middle(t: Parameters<typeof rawPair>[0], look: (bytes: Buffer) => void): Promise<[Duplex, Duplex]> {
  const [client, atClient] = await rawPair(t);
  const [atServer, server] = await rawPair(t);
  const tap = () =>
    new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        look(chunk);
        done(null, chunk);
      },
    });
  atClient.pipe(tap()).pipe(atServer);
  atServer.pipe(tap()).pipe(atClient);
  for (const end of [atClient, atServer]) end.on('error', () => {});
  return [client, server];
}

t.test('who owns the network can neither read nor alter', async (t) => {
  const mesh = await createTestMesh(t);
  const [core, engine] = [await mesh.endpoint('core'), await mesh.endpoint('engine')];
  const seen: Buffer[] = [];
  let flip = false;
  const [near, far] = await middle(t, (bytes) => {
    seen.push(Buffer.from(bytes));
    if (flip) bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  });
  const [client, server] = await Promise.all([
    connectMesh(near, core, expectation('engine-calls', 'engine'), SIGNAL),
    acceptMesh(far, engine, expectation('engine-calls', 'core'), SIGNAL),
  ]);
  client.stream.write(MARKER);
  const [received] = await once(server.stream, 'data');
  t.equal(String(received), MARKER);
  const traffic = Buffer.concat(seen);
  t.notOk(traffic.includes(MARKER), 'nothing to read');
  t.notOk(traffic.includes(mesh.network), 'not even the network, which is public');
  t.notOk(traffic.includes('arca-mesh-leaf-1'), 'nor who talks');
  flip = true;
  const heard: Buffer[] = [];
  server.stream.on('data', (bytes: Buffer) => heard.push(bytes));
  client.stream.write(MARKER);
  t.match(await server.closed, /failed|closed/, 'one changed bit ends the connection');
  t.same(heard, [], 'and nothing of it was handed on');
});

t.test('a party counts at the gate once its key has signed, and no stranger in its name', async (t) => {
  const scene = await stage(t);
  const admitted: string[] = [];
  let room = 1;
  const gate: HandshakeGate = {
    admitParty: (party: number, role: Role) => {
      admitted.push(`${role} ${party}`);
      if (room === 0) return undefined;
      room--;
      return () => {
        room++;
      };
    },
  };
  const accept = async (dial: (near: Duplex) => Promise<unknown>): Promise<string> => {
    const [near, far] = await rawPair(t);
    const accepting = acceptMesh(far, scene.honest, scene.expect, SIGNAL, gate).then(
      (connection) => {
        open.push(connection);
        return 'accepted';
      },
      (error) => String(error.facts?.reasons ?? error),
    );
    void dial(near).catch(() => {});
    return accepting;
  };
  const open: Awaited<ReturnType<typeof acceptMesh>>[] = [];
  const honestly = (near: Duplex) => connectMesh(near, scene.evil, expectation('engine-data', 'engine'), SIGNAL);
  const stranger = async (near: Duplex) =>
    intrude(near, await forgeLeaf({ self: scene.evil.self, meshSignature: new Uint8Array(64) }), 'engine-data');
  t.equal(await accept(stranger), 'identity');
  t.same(admitted, [], 'a claim alone costs the party nothing');
  t.equal(await accept(honestly), 'accepted');
  t.equal(await accept(honestly), 'busy', 'no room for a second');
  t.same(admitted, ['engine 2', 'engine 2']);
  open[0]?.close('done');
  await open[0]?.closed;
  t.equal(room, 1, 'a closed connection gives its slot back');
  t.equal(await accept(honestly), 'accepted');
});

t.test('a peer whose process ends before or within TLS is away, and nothing is found wrong with it', async (t) => {
  const scene = await stage(t);
  for (const sent of [0, 1, 40]) {
    const [near, far] = await rawPair(t);
    const accepting = outcome(acceptMesh(far, scene.honest, scene.expect, SIGNAL));
    near.write(Buffer.from('1603010200010001fc0303', 'hex').subarray(0, sent));
    near.destroy();
    t.equal(await accepting, 'UNAVAILABLE', `after ${sent} bytes`);
  }
});
