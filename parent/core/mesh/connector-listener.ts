/**
 * The door for connectors: attested connections from the same instance, which are served like client ports, with the
 * rights of a connector. The connector itself is a later part; the seam is this one.
 */

import { listenMesh } from '../../../attestation/mesh/listener.ts';
import type { MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
import { unixTransport } from '../../../attestation/mesh/transport-unix.ts';
import type { InjectPeer } from './core-mesh.ts';

/** Settings of {@link listenForConnectors}. */
export interface ConnectorListenerOptions {
  /** Path of the Unix socket. */
  readonly path: string;
  readonly endpoint: MeshEndpoint;
  readonly inject: InjectPeer;
}

/** Starts to accept connectors. */
export async function listenForConnectors({ path, endpoint, inject }: ConnectorListenerOptions) {
  return await listenMesh({
    transport: unixTransport(path),
    endpoint,
    expect: { service: 'core-grpc', role: 'connector', party: endpoint.self.party, sameInstance: true },
    onConnection: ({ stream, peer }) => inject(stream, peer),
  });
}
