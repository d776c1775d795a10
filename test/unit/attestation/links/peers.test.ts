/** The table of peers and the metrics, over real connections. */
import t from 'tap';
import { FrameLink } from '../../../../attestation/mesh/frame-link.ts';
import { registerMeshMetrics } from '../../../../attestation/mesh/metrics.ts';
import { PeerTable } from '../../../../attestation/mesh/peer-table.ts';
import { systemClock } from '../../../../common/clock.ts';
import { KmsError } from '../../../../common/errors.ts';
import { createRegistry } from '../../../../common/metrics.ts';
import { connectPair, createTestMesh } from '../../../helpers/mesh-pair.ts';

t.test('a peer is expected, refused, unreachable, attested and gone', async (t) => {
  const mesh = await createTestMesh(t);
  const table = new PeerTable(systemClock);
  const [row] = [() => table.rows()[0]];
  table.expect({ role: 'engine', party: 2 }, 'party2.example:50200');
  table.expect({ role: 'core', party: 1 });
  t.match(table.rows(), [
    { role: 'core', party: 1, endpoint: undefined },
    { role: 'engine', party: 2, endpoint: 'party2.example:50200', reachable: undefined, reason: 'not seen yet' },
  ]);
  table.forget({ role: 'core', party: 1 });
  table.failed({ role: 'engine', party: 2 }, new KmsError('UNAVAILABLE', 'nobody listens there'));
  t.match(row(), { reachable: false, attested: false, reason: 'nobody listens there' });
  table.failed({ role: 'engine', party: 2 }, new KmsError('ATTESTATION_REJECTED', 'PCR0 differs'));
  table.failed({ role: 'engine', party: 2 }, new KmsError('CANCELLED', 'given up'));
  t.match(row(), { reachable: true, attested: false, reason: 'PCR0 differs' }, 'what was given up tells nothing');
  const endpoints = [await mesh.endpoint('engine'), await mesh.endpoint('engine', { party: 2 })] as const;
  const [first] = await connectPair(t, ...endpoints);
  const [second] = await connectPair(t, ...endpoints);
  table.connected(first);
  table.connected(second);
  t.match(row(), {
    attested: true,
    connections: 2,
    release: 'test',
    incarnation: 1,
    address: Buffer.from(mesh.parties[1]?.address ?? []).toString('hex'),
    expiresMs: second.closeAtMs,
    reason: undefined,
  });
  t.ok(Math.abs(row()?.skewMs ?? Number.NaN) < 60_000);
  first.close('one');
  await first.closed;
  t.match(row(), { attested: true, connections: 1 });
  second.close('no longer accepted: release');
  await second.closed;
  t.match(row(), { attested: false, connections: 0, reason: 'no longer accepted: release', release: 'test' });
  t.ok((row()?.lastSeenMs ?? 0) > 0);
});

t.test('metrics are read when they are scraped', async (t) => {
  const mesh = await createTestMesh(t);
  const [one, two] = [await mesh.endpoint('engine'), await mesh.endpoint('engine', { party: 2 })];
  const peers = new PeerTable(systemClock);
  const link = new FrameLink({ peer: 'party 2', clock: systemClock });
  const registry = createRegistry();
  let releaseExpiresMs: number | undefined;
  const stats = {
    accepted: 7,
    unspoken: 3,
    refused: 2,
    verified: 1,
    silent: 1,
    handshakes: 0,
    admitted: 1,
    evicted: 4,
  };
  registerMeshMetrics(registry, {
    clock: systemClock,
    endpoint: one,
    peers,
    releaseExpiresMs: () => releaseExpiresMs,
    listeners: () => [
      { ...stats, overParty: 0 },
      { ...stats, overParty: 5 },
    ],
    frames: () => new Map([[2, link.stats()]]),
  });
  peers.expect({ role: 'engine', party: 3 });
  const [connection] = await connectPair(t, one, two);
  peers.connected(connection);
  const value = async (series: string): Promise<number | undefined> => {
    const line = (await registry.metrics()).split('\n').find((text) => text.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length));
  };
  t.equal(await value('kms_mesh_ok'), 1);
  t.ok(Number(await value('kms_mesh_certificate_expires_seconds')) > 60);
  t.equal(await value('kms_mesh_release_expires_seconds'), undefined, 'not 0, which would be an alarm');
  releaseExpiresMs = systemClock.nowMs() + 86_400_000;
  t.equal(Math.round(Number(await value('kms_mesh_release_expires_seconds')) / 100), 864);
  t.equal(await value('kms_mesh_peer_attested{role="engine",party="2"}'), 1);
  t.equal(await value('kms_mesh_peer_attested{role="engine",party="3"}'), 0);
  t.ok(Number(await value('kms_mesh_peer_expires_seconds{role="engine",party="2"}')) > 60);
  t.ok(Math.abs(Number(await value('kms_mesh_peer_skew_seconds{role="engine",party="2"}'))) < 5);
  t.equal(await value('kms_mesh_peer_skew_seconds{role="engine",party="3"}'), undefined, 'nothing is known of it');
  t.equal(await value('kms_mesh_accepted_total{outcome="refused"}'), 4);
  t.equal(await value('kms_mesh_accepted_total{outcome="refused"}'), 4, 'and not more the second time');
  t.equal(await value('kms_mesh_accepted_total{outcome="over_party"}'), 5);
  t.equal(await value('kms_mesh_strangers{state="silent"}'), 2);
  t.equal(await value('kms_mesh_frames_total{party="2",direction="in"}'), 0);
  connection.close('gone');
  await connection.closed;
  t.equal(await value('kms_mesh_peer_attested{role="engine",party="2"}'), 0);
});
