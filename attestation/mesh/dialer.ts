/**
 * The dialling side of the mesh: a transport's stream made into a verified connection, in one function.
 */
import { connectMesh } from './connect.ts';
import type { MeshConnection, MeshEndpoint, PeerExpectation } from './mesh-context.ts';
import type { Dial } from './transport.ts';

/** What a dialer dials, as whom, and whom it expects. */
export interface MeshDialerOptions {
  readonly dial: Dial;
  readonly endpoint: MeshEndpoint;
  readonly expect: PeerExpectation;
}

/** Opens a verified connection. The signal bounds dialling and handshake; the connection outlives it. */
export type MeshDialer = (signal: AbortSignal) => Promise<MeshConnection>;

/**
 * Returns what opens verified connections to one address.
 *
 * The dialer rejects with `UNAVAILABLE` when nobody is there, with `ATTESTATION_INVALID` or `ATTESTATION_REJECTED` when
 * somebody else is, and with whatever `connectMesh` says.
 */
export function meshDialer({ dial, endpoint, expect }: MeshDialerOptions): MeshDialer {
  return async (signal) => await connectMesh(await dial(signal), endpoint, expect, signal);
}
