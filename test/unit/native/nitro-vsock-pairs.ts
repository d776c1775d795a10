/**
 * Connections over the relay for its tests, with Unix sockets in place of AF_VSOCK.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { VsockListenOptions } from '../../../native/nitro/vsock.ts';
import { fakeVsock } from './nitro-fake.ts';

type Test = Parameters<typeof fakeVsock>[0];

export const MB = 1024 * 1024;

/** Resolves when the condition holds, looking at every turn of the loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** Everything up to the end. Not by iteration, which would destroy a socket that is still writing. */
export async function read(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** A plain server behind an address: the remote side of connects. */
export async function remote(t: Test, address: string, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, onSocket);
  server.listen(address);
  await once(server, 'listening');
  t.teardown(() => void server.close());
  return server;
}

/** A connected pair: Node's socket over the relay, and the remote's own. */
export async function connected(t: Test, options: { allowHalfOpen?: boolean } = {}) {
  const { relay, addressOf } = fakeVsock(t);
  const accepted = Promise.withResolvers<Socket>();
  await remote(t, addressOf(3, 5000), accepted.resolve);
  const local = await relay.connect({ cid: 3, port: 5000, timeoutMs: 60_000, ...options });
  const peer = await accepted.promise;
  t.teardown(() => {
    local.destroy();
    peer.destroy();
  });
  return { relay, local, peer };
}

/** A listener and the sockets that it was given. */
export async function listening(t: Test, options: Partial<VsockListenOptions> = {}) {
  const { relay, addressOf } = fakeVsock(t);
  const sockets: { socket: Socket; cid: number; port: number }[] = [];
  const listener = await relay.listen({ port: 6000, cid: 16, ...options }, (socket, cid, port) => {
    socket.on('error', () => undefined);
    sockets.push({ socket, cid, port });
  });
  t.teardown(async () => {
    await listener.close();
    for (const { socket } of sockets) socket.destroy();
  });
  return { relay, listener, sockets, address: addressOf(16, 6000) };
}
