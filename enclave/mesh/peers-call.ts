/**
 * `peers`: everyone this engine is connected to over the mesh, or should be, for people; with what it has seen engines do
 * wrong, which is its own knowledge and goes to no other party. Nothing here is secret.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { PeerRow, PeerTable } from '../../attestation/mesh/peer-table.ts';
import { PeerTableSchema } from '../../proto/gen/engine_pb.js';
import type { CallHandler } from '../call.ts';
import { FAULTS, type FaultLedger } from '../threshold/fault-ledger.ts';

/** See the file comment. An engine of no quorum has no ledger. */
export const peers =
  (table: PeerTable, ledger?: Pick<FaultLedger, 'of'>): CallHandler =>
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
      faults: faultsOf(row, ledger),
      endpoint: row.endpoint ?? '',
    }));
    return toBinary(PeerTableSchema, create(PeerTableSchema, { peers: rows }));
  };

function faultsOf({ role, party }: PeerRow, ledger: Pick<FaultLedger, 'of'> | undefined) {
  if (role !== 'engine' || !ledger) return [];
  const { counts } = ledger.of(party);
  return FAULTS.filter((kind) => counts[kind] > 0).map((kind) => ({ kind, count: BigInt(counts[kind]) }));
}

function wholeMs(ms: number | undefined): bigint {
  return BigInt(Math.round(ms ?? 0));
}
