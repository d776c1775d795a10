/**
 * Serves grpc-js over verified mesh connections: the server listens nowhere by itself.
 *
 * `acceptMesh` hands a connection out only after the write callbacks of its own messages have fired; a socket with
 * writes under way would abort the process here.
 */
import { type ConnectionInjector, type Server, ServerCredentials } from '@grpc/grpc-js';
import type { Clock } from '../../../common/clock.ts';
import type { MeshConnection } from '../mesh-context.ts';
import { socketForGrpc } from './peer-of-call.ts';

/** Puts connections into one server. */
export interface MeshInjector {
  /** Serves calls on the connection until it ends; made to be `onConnection` of a listener. */
  readonly inject: (connection: MeshConnection) => void;
  /** Tells all clients to go elsewhere; calls under way may finish within the given time. */
  drain(graceMs: number): void;
}

/**
 * Returns what puts mesh connections into `server`.
 *
 * A client should renew its connection at two thirds of its life (`mesh-channel.ts` does). One that has not is told to,
 * with HTTP/2's GOAWAY, half way between then and the end, so that its calls can still finish. A call that crosses the
 * GOAWAY is refused unprocessed (UNAVAILABLE, `Stream refused by server`); grpc-js repeats it once by itself.
 */
export function meshInjector(server: Server, clock: Clock): MeshInjector {
  const injectors = new Set<ConnectionInjector>();
  return {
    inject: (connection) => {
      const { stream, renewAtMs, closeAtMs, closed } = connection;
      // One for each connection: an injector drains all that it has.
      const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
      injectors.add(injector);
      const drainAtMs = (renewAtMs + closeAtMs) / 2;
      const drain = (): void => injector.drain(Math.max(closeAtMs - clock.nowMs(), 0));
      const inMs = Math.max(drainAtMs - clock.nowMs(), 0);
      const timer = setTimeout(drain, Math.min(inMs, LONGEST_TIMER_MS)).unref();
      void closed.then(() => {
        clearTimeout(timer);
        injectors.delete(injector);
        injector.destroy();
      });
      if (!stream.destroyed) injector.injectConnection(socketForGrpc(connection));
    },
    drain: (graceMs) => {
      for (const injector of injectors) injector.drain(graceMs);
    },
  };
}

/** `setTimeout` takes no more; no leaf lives that long. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
