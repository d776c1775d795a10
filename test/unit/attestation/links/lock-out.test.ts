/** Whoever claims to be a party and is not takes nothing from it: its slots count only what it has signed. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { meshDialer } from '../../../../attestation/mesh/dialer.ts';
import { listenMesh } from '../../../../attestation/mesh/listener.ts';
import type { MeshConnection } from '../../../../attestation/mesh/mesh-context.ts';
import { parseTcpAddress, tcpDial, tcpTransport } from '../../../../attestation/mesh/transport-tcp.ts';
import { createTestMesh, makeTestIdentity } from '../../../helpers/mesh-pair.ts';

const EXPECT = { service: 'engine-data', role: 'engine' } as const;
const secret = (text: string): Uint8Array => createHash('sha256').update(text).digest();

t.test('strangers who claim a party, or copy its certificate, cannot lock the true one out', async (t) => {
  const mesh = await createTestMesh(t);
  const accepted = Promise.withResolvers<MeshConnection>();
  const listener = await listenMesh({
    transport: tcpTransport({ host: '127.0.0.1', port: 0 }),
    endpoint: await mesh.endpoint('engine'),
    expect: EXPECT,
    budget: { perParty: 1 },
    onConnection: accepted.resolve,
  });
  t.teardown(() => listener.close());
  const dial = tcpDial(parseTcpAddress(listener.address));
  const own = await makeTestIdentity(mesh.network, 2, secret('a mesh key'), secret('a node key'));
  const { certificate } = mesh.parties[1]?.identity ?? own;
  const claims = [
    ['a certificate of his own making', own],
    ["the party's certificate with another mesh key", { ...own, certificate }],
    [
      "the party's certificate and key number, signing with another key",
      { ...own, certificate, publicKey: certificate.key },
    ],
  ] as const;
  for (const [what, identity] of claims) {
    const hello = {
      releaseSetVersion: 1,
      recordVersion: 1,
      keyPolicyHash: new Uint8Array(48),
      manifestVersion: 0,
      manifestHead: new Uint8Array(),
      identityCertificate: identity.certificate,
    };
    const endpoint = await mesh.endpoint('engine', { party: 2, self: { identity, hello: () => hello } });
    for (let times = 0; times < 3; times++) {
      const attempt = meshDialer({ dial, endpoint, expect: EXPECT })(AbortSignal.timeout(60_000));
      await t.rejects(attempt, { name: 'KmsError' }, what);
    }
    t.match(listener.stats(), { admitted: 0, verified: 0, overParty: 0 }, `${what}: no slot was touched`);
  }
  const truth = await mesh.endpoint('engine', { party: 2 });
  const connection = await meshDialer({ dial, endpoint: truth, expect: EXPECT })(AbortSignal.timeout(60_000));
  t.equal(connection.peer.party, 1);
  t.equal((await accepted.promise).peer.party, 2);
  t.match(listener.stats(), { refused: 9, verified: 1, admitted: 1 });
});
