/**
 * The Core's own peers, as the admin service shows them: its engine, connected or not, and connectors.
 */
import type { PeerTable } from '../../../attestation/mesh/peer-table.ts';
import type { PeerInit } from '../admin/admin-service.ts';

/** Returns one row for each peer of a table. */
export function peerRows(table: PeerTable): readonly PeerInit[] {
  return table.rows().map((row) => ({
    role: row.role,
    party: row.party,
    reachable: row.reachable ?? false,
    attested: row.attested,
    release: row.release ?? '',
    expiresMs: wholeMs(row.attested ? row.expiresMs : undefined),
    skewMs: wholeMs(row.skewMs),
    lastSeenMs: wholeMs(row.lastSeenMs),
    reason: row.reason ?? '',
  }));
}

function wholeMs(ms: number | undefined): bigint {
  return BigInt(Math.round(ms ?? 0));
}
