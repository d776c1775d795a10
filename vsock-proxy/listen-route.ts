/**
 * Listens where a route begins.
 */
import { createServer, type Socket } from 'node:net';
import { KmsError, systemErrorCode } from '../common/errors.ts';
import type { EndPoint } from './end-point.ts';
import { listenUnix } from './listen-unix.ts';
import type { ParentListener, ParentVsock } from './parent-vsock.ts';

const BACKLOG = 4096;
/** Nothing is read of a connection before its target is there: the kernel holds its sender back. */
const PAUSED = { allowHalfOpen: true, pauseOnConnect: true } as const;

/**
 * Listens on an address of this machine or on a vsock port of the parent.
 *
 * @throws {@link KmsError} `UNAVAILABLE` or `ALREADY_EXISTS` if it cannot be had.
 */
export async function listenRoute(
  from: EndPoint,
  vsock: ParentVsock,
  onSocket: (socket: Socket) => void,
): Promise<ParentListener> {
  switch (from.kind) {
    case 'vsock':
      return await vsock.listen(from.port, onSocket, { allowHalfOpen: true });
    case 'unix':
      return await listenUnix(from.path, PAUSED, onSocket);
    case 'tcp':
      return await listenTcp(from.host, from.port, onSocket);
    case 'connect':
      throw new KmsError('CONFIG_INVALID', 'no connection comes from connect');
  }
}

async function listenTcp(host: string, port: number, onSocket: (socket: Socket) => void): Promise<ParentListener> {
  const options = { ...PAUSED, noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 };
  const server = createServer(options, onSocket);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host, port, backlog: BACKLOG }, resolve);
  await promise.catch((error: unknown) => {
    const errno = systemErrorCode(error) ?? 'unknown';
    throw new KmsError('UNAVAILABLE', `cannot listen on ${host}:${port}: ${errno}`, { errno }, error);
  });
  return { close: async () => void server.close() };
}
