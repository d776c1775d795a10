/**
 * The accepting side: TLS as server, then the handshake. See `connect.ts`.
 */
import type { Duplex } from 'node:stream';
import type { HandshakeGate } from './budget.ts';
import type { MeshConnection, MeshEndpoint, PeerExpectation } from './mesh-context.ts';
import { runHandshake } from './run-handshake.ts';
import { serverTls } from './tls.ts';

/**
 * Makes an attested connection of a raw stream that a stranger has opened; owns and, on failure, destroys it.
 *
 * @param gate - Counts the connection against its party once that is proven; without one nothing is counted.
 * @throws KmsError As `connectMesh` does; `RESOURCE_EXHAUSTED` if the gate refuses.
 */
export function acceptMesh(
  raw: Duplex,
  endpoint: MeshEndpoint,
  expect: PeerExpectation,
  signal: AbortSignal,
  gate?: HandshakeGate,
): Promise<MeshConnection> {
  return runHandshake({ raw, side: 'server', tls: serverTls, endpoint, expect, signal, gate });
}
