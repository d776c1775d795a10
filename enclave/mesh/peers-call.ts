/**
 * `peers`: everyone this engine is connected to over the mesh, for people. Nothing here is secret.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { MeshEndpoint } from '../../attestation/mesh/mesh-context.ts';
import type { Clock } from '../../common/clock.ts';
import { PeerTableSchema } from '../../proto/gen/engine_pb.js';
import type { CallHandler } from '../call.ts';

/** See the file comment. */
export const peers =
  (endpoint: MeshEndpoint, clock: Clock): CallHandler =>
  () => {
    const nowMs = clock.nowMs();
    const newest = new Map<string, (typeof rows)[number]>();
    const rows = endpoint.connections().map(({ peer, closeAtMs }) => ({
      role: peer.role,
      party: peer.party,
      reachable: true,
      attested: true,
      release: peer.release,
      expiresMs: BigInt(Math.floor(closeAtMs)),
      skewMs: BigInt(Math.round(peer.skewMs)),
      lastSeenMs: BigInt(nowMs),
      reason: '',
    }));
    // A peer has several connections; the one that lasts longest says until when it is attested.
    for (const row of rows) {
      const name = `${row.role} ${row.party}`;
      const known = newest.get(name);
      if (!known || row.expiresMs > known.expiresMs) newest.set(name, row);
    }
    return toBinary(PeerTableSchema, create(PeerTableSchema, { peers: [...newest.values()] }));
  };
