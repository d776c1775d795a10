/** Listens for attested connections. */

import { acceptMesh } from '../mesh/accept.ts';
import type { MeshConnection, MeshEndpoint, PeerExpectation } from '../mesh/mesh-context.ts';
import type { Transport } from '../mesh/transport.ts';

/** Temporary shape of the listener. */
export async function listenMesh({
  transport,
  endpoint,
  expect,
  onConnection,
}: {
  readonly transport: Transport;
  readonly endpoint: MeshEndpoint;
  readonly expect: PeerExpectation;
  readonly onConnection: (connection: MeshConnection) => void;
}): Promise<{ close(): Promise<void> }> {
  const stop = new AbortController();
  const listening = await transport.listen((raw) => {
    acceptMesh(raw, endpoint, expect, stop.signal).then(onConnection, () => undefined);
  });
  return {
    close: async () => {
      stop.abort();
      await listening.close();
    },
  };
}
