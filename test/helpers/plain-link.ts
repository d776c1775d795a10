/**
 * Links without a mesh, for tests of what runs on top of it: a scripted engine speaks frames on a plain Unix socket.
 * Nothing outside of tests can connect this way.
 */
import { unixDial } from '../../attestation/mesh/transport-unix.ts';
import type { EngineDialer } from '../../parent/core/engine-client/reconnecting-client.ts';
import type { CoreMesh } from '../../parent/core/mesh/core-mesh.ts';

/** Dials a plain Unix socket. */
export function plainDial(socketPath: string): EngineDialer {
  const dial = unixDial(socketPath);
  return async (signal) => ({ stream: await dial(signal) });
}

/** What a Core in front of a scripted engine has in place of its mesh. */
export function plainMesh(socketPath: string): CoreMesh {
  return {
    dial: plainDial(socketPath),
    registerMetrics: () => undefined,
    follow: () => () => undefined,
    takeGovernance: () => undefined,
    serveConnectors: async () => undefined,
    peers: () => [],
    reasons: () => [],
    close: async () => undefined,
  };
}
