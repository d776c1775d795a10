/**
 * `peers`: everyone this engine is connected to over the mesh, or should be, for people. Nothing here is secret.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { PeerTable } from '../../attestation/mesh/peer-table.ts';
import { PeerTableSchema } from '../../proto/gen/engine_pb.js';
import type { CallHandler } from '../call.ts';

/** See the file comment. */
export const peers =
  (table: PeerTable): CallHandler =>
  () => {
    const rows = table.rows().map((row) => ({
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
    return toBinary(PeerTableSchema, create(PeerTableSchema, { peers: rows }));
  };

function wholeMs(ms: number | undefined): bigint {
  return BigInt(Math.round(ms ?? 0));
}
