/**
 * The door for connectors: attested connections from the same instance, which are served like client ports, with the
 * rights of a connector. The connector itself is a later part; the seam is this one.
 */

import { listenMesh, type MeshListener } from '../../../attestation/mesh/listener.ts';
import type { MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
import type { PeerTable } from '../../../attestation/mesh/peer-table.ts';
import { unixTransport } from '../../../attestation/mesh/transport-unix.ts';
import type { InjectPeer } from './core-mesh.ts';

/** Settings of {@link listenForConnectors}. */
export interface ConnectorListenerOptions {
  /** Path of the Unix socket. */
  readonly path: string;
  readonly endpoint: MeshEndpoint;
  readonly inject: InjectPeer;
  /** Hears of each connection. */
  readonly peers: PeerTable;
}

/** Starts to accept connectors. */
export async function listenForConnectors(options: ConnectorListenerOptions): Promise<MeshListener> {
  const { path, endpoint, inject, peers } = options;
  return await listenMesh({
    transport: unixTransport(path),
    endpoint,
    expect: { service: 'core-grpc', role: 'connector', party: endpoint.self.party, sameInstance: true },
    onConnection: (connection) => {
      peers.connected(connection);
      inject(connection.stream, connection.peer);
    },
  });
}
