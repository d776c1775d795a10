/**
 * The Core's own peers, as the admin service shows them: its engine, connected or not, and connectors.
 */
import type { MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
import type { Clock } from '../../../common/clock.ts';
import type { PeerInit } from '../admin/admin-service.ts';
import type { EngineClient } from '../engine-client/engine-client.ts';

/** What the rows are made from. */
export interface PeerRowsOptions {
  readonly endpoint: MeshEndpoint;
  readonly engine: EngineClient;
  readonly clock: Clock;
}

/** Returns one row for each peer: that of its connection which lasts longest. */
export function peerRows({ endpoint, engine, clock }: PeerRowsOptions): readonly PeerInit[] {
  const lasting = new Map<string, { readonly row: PeerInit; readonly closeAtMs: number }>();
  for (const { peer, closeAtMs } of endpoint.connections()) {
    const name = `${peer.role} ${peer.party}`;
    if ((lasting.get(name)?.closeAtMs ?? 0) >= closeAtMs) continue;
    const row: PeerInit = {
      role: peer.role,
      party: peer.party,
      reachable: true,
      attested: true,
      release: peer.release,
      expiresMs: BigInt(Math.floor(closeAtMs)),
      skewMs: BigInt(Math.round(peer.skewMs)),
      lastSeenMs: BigInt(Math.floor(clock.nowMs())),
    };
    lasting.set(name, { row, closeAtMs });
  }
  const rows = [...lasting.values()].map(({ row }) => row);
  if (rows.some(({ role }) => role === 'engine')) return rows;
  const reason = engine.reason ?? 'it is being connected';
  return [{ role: 'engine', party: endpoint.self.party, reachable: false, attested: false, reason }, ...rows];
}
