/**
 * How a node's Core reaches its engine: an attested connection to the enclave of its own instance.
 */
import { meshDialer } from '../../../attestation/mesh/dialer.ts';
import type { MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
import type { PeerTable } from '../../../attestation/mesh/peer-table.ts';
import { renewalDueMs } from '../../../attestation/mesh/renewal-due.ts';
import type { Dial } from '../../../attestation/mesh/transport.ts';
import type { EngineDialer } from './reconnecting-client.ts';

/** Settings of {@link meshEngineDialer}. */
export interface MeshDialerOptions {
  /** Opens a raw stream to the engine's address. */
  readonly dial: Dial;
  /** This Core's side of the mesh. */
  readonly endpoint: MeshEndpoint;
  /** Party that the engine must be of. */
  readonly party: number;
  /** Hears of each attempt. */
  readonly peers: PeerTable;
}

/**
 * Returns what opens verified connections to the engine.
 *
 * @throws KmsError from the dialer: `UNAVAILABLE` if nobody listens, `ATTESTATION_INVALID` or `ATTESTATION_REJECTED`
 *   if whoever listens there, or this Core, is not trusted by the other side.
 */
export function meshEngineDialer({ dial, endpoint, party, peers }: MeshDialerOptions): EngineDialer {
  const expect = { service: 'engine-calls', role: 'engine', party, sameInstance: true } as const;
  const open = meshDialer({ dial, endpoint, expect });
  peers.expect(expect);
  return async (signal) => {
    try {
      const connection = await open(signal);
      peers.connected(connection);
      return { stream: connection.stream, renewAtMs: renewalDueMs(connection, endpoint.clock.nowMs()) };
    } catch (error) {
      peers.failed(expect, error);
      throw error;
    }
  };
}
