/**
 * How a node's Core reaches its engine: an attested connection to the enclave of its own instance.
 */
import { connectMesh } from '../../../attestation/mesh/connect.ts';
import type { MeshConnection, MeshEndpoint } from '../../../attestation/mesh/mesh-context.ts';
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
  /** Hears of each connection as soon as both sides have verified each other. */
  readonly onConnection?: (connection: MeshConnection) => void;
}

/**
 * Returns what opens verified connections to the engine.
 *
 * @throws KmsError from the dialer: `UNAVAILABLE` if nobody listens, `ATTESTATION_INVALID` or `ATTESTATION_REJECTED`
 *   if whoever listens there, or this Core, is not trusted by the other side.
 */
export function meshEngineDialer({ dial, endpoint, party, onConnection }: MeshDialerOptions): EngineDialer {
  return async (signal) => {
    const raw = await dial(signal);
    const expect = { service: 'engine-calls', role: 'engine', party, sameInstance: true } as const;
    const connection = await connectMesh(raw, endpoint, expect, signal);
    onConnection?.(connection);
    return { stream: connection.stream, renewAtMs: connection.renewAtMs };
  };
}
