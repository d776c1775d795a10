/**
 * The dialling side: TLS as client, then the handshake. There is no way to a {@link MeshConnection} but this and
 * `accept.ts`, and both judge.
 */
import type { Duplex } from 'node:stream';
import type { MeshConnection, MeshEndpoint, PeerExpectation } from './mesh-context.ts';
import { runHandshake } from './run-handshake.ts';
import { clientTls } from './tls.ts';

/**
 * Makes an attested connection over a raw stream, which it owns from now on: on failure the stream is destroyed.
 *
 * @param signal - Ends the attempt; the endpoint's own deadline holds besides.
 * @throws KmsError `ATTESTATION_INVALID`, `ATTESTATION_REJECTED` with every reason; `DEADLINE_EXCEEDED`;
 * `UNAVAILABLE` if the own attester fails or the own leaf has expired.
 */
export function connectMesh(
  raw: Duplex,
  endpoint: MeshEndpoint,
  expect: PeerExpectation,
  signal: AbortSignal,
): Promise<MeshConnection> {
  return runHandshake({ raw, side: 'client', tls: clientTls, endpoint, expect, signal, gate: undefined });
}
