/**
 * A proxy of a test: its guest, its services outside, its log and its figures.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import type { z } from 'zod';
import { systemClock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { createRegistry } from '../../../common/metrics.ts';
import { ProxyConfig } from '../../../vsock-proxy/config.ts';
import { startProxy, type VsockProxy } from '../../../vsock-proxy/proxy.ts';
import type { Teardown } from '../../helpers/temp-dir.ts';
import { type FakeGuest, fakeGuest } from './fake-daemon.ts';

/** Routes and what else of a configuration a test sets. */
export type Settings = Omit<z.input<typeof ProxyConfig>, 'vsock'>;

/** Sockets of a test that are closed with it. */
export function keep(t: Teardown, socket: Socket): Socket {
  socket.on('error', () => undefined);
  t.teardown(() => void socket.destroy());
  return socket;
}

/** A TCP server outside; gives its port. */
export async function outside(t: Teardown, onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => onSocket(keep(t, socket)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('no port');
  return at.port;
}

/** Dials a path or a port of this machine. */
export async function dial(t: Teardown, to: string | number): Promise<Socket> {
  const at = typeof to === 'string' ? { path: to } : { host: '127.0.0.1', port: to };
  const socket = keep(t, connect({ ...at, allowHalfOpen: true }));
  await once(socket, 'connect');
  return socket;
}

/** Starts a proxy with a guest of its own. */
export async function runningProxy(t: Teardown, settings: (guest: FakeGuest) => Settings) {
  const guest = await fakeGuest(t);
  const configOf = (of: Settings) => ProxyConfig.parse({ vsock: { path: guest.path }, ...of });
  const registry = createRegistry();
  const destination = new Writable({ write: (_chunk, _encoding, done) => done() });
  const log = createLogger({ name: 'proxy', level: 'debug', destination });
  const proxy: VsockProxy = await startProxy(configOf(settings(guest)), { registry, clock: systemClock, log });
  t.teardown(() => proxy.close(0));
  /** The value of a metric's line. */
  const figure = async (line: string): Promise<number> => {
    const text = await registry.metrics();
    const found = text.split('\n').find((one) => one.startsWith(`${line} `));
    return Number(found?.slice(line.length + 1) ?? 0);
  };
  return { guest, proxy, figure, reload: (of: Settings) => proxy.reload(() => configOf(of)) };
}

/** A port on which nobody listens: it was free a moment ago. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  server.close();
  if (at === null || typeof at === 'string') throw new Error('no port');
  return at.port;
}

/** Resolves when the condition holds, looking at every turn of the loop. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}
