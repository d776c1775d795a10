/**
 * What stands in for `vhost-device-vsock` and the guest behind it: the daemon's Unix socket, and dials to the host.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Teardown, tempDir } from '../../helpers/temp-dir.ts';

/** A guest: what listens in it, and its dials to the host. */
export interface FakeGuest {
  /** The daemon's path. */
  readonly path: string;
  /** Serves a port of the guest. */
  serve(port: number, onSocket: (socket: Socket) => void): void;
  /** Dials a port of the host. */
  dial(port: number): Promise<Socket>;
}

/** Starts a guest with a daemon of its own. `answer` replaces what the daemon says to a connect that it takes. */
export async function fakeGuest(t: Teardown, answer = 'OK 1073741824\n'): Promise<FakeGuest> {
  const path = join(tempDir(t), 'vm');
  const services = new Map<number, (socket: Socket) => void>();
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    return socket.once('close', () => sockets.delete(socket));
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    keep(socket).once('data', (first: Buffer) => {
      const port = Number(/^CONNECT ([0-9]+)\n$/.exec(first.toString('latin1'))?.[1]);
      const service = services.get(port);
      if (!service) {
        socket.destroy();
        return;
      }
      socket.pause();
      socket.write(answer);
      service(socket);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    path,
    serve: (port, onSocket) => void services.set(port, onSocket),
    dial: async (port) => {
      const socket = keep(connect({ path: `${path}_${port}`, allowHalfOpen: true }));
      await once(socket, 'connect');
      return socket;
    },
  };
}
