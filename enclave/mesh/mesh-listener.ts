/**
 * The engine's only door: attested connections from the Core of its own instance.
 */

import { listenMesh } from '../../attestation/mesh/listener.ts';
import type { Transport } from '../../attestation/mesh/transport.ts';
import type { EngineListener } from '../service/engine-listener.ts';
import type { EngineMesh } from './engine-mesh.ts';

/** Returns a listener that hands over a link once both sides have verified each other. */
export function meshListener(transport: Transport, { endpoint, peers }: EngineMesh): EngineListener {
  let listening: { close(): Promise<void> } | undefined;
  return {
    listen: async (onLink) => {
      const expect = { service: 'engine-calls', role: 'core', party: endpoint.self.party, sameInstance: true } as const;
      listening = await listenMesh({
        transport,
        endpoint,
        expect,
        onConnection: (connection) => {
          const { stream, peer } = connection;
          peers.connected(connection);
          onLink({ stream, peer: `${peer.role} ${peer.party} over ${transport.name}` });
        },
      });
    },
    close: async () => await listening?.close(),
  };
}
