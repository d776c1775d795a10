/**
 * Mesh connections over TCP, without Nagle's delay and with keep-alive probes, so that a peer whose machine has gone
 * is noticed between two messages.
 */
import { connect, createServer, type ListenOptions } from 'node:net';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import { BACKLOG, connected, type Dial, type Transport, UNREAD_BYTES } from './transport.ts';

/** A TCP address. Port 0 listens on any free one. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

const KEEP_ALIVE = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 } as const;

/** Returns a transport that listens on a TCP address. */
export function tcpTransport({ host, port }: TcpAddress): Transport {
  return {
    name: 'tcp',
    listen: async (onRaw) => {
      const server = createServer({ ...KEEP_ALIVE, highWaterMark: UNREAD_BYTES }, (socket) =>
        // A socket that was reset before it was taken has no address any more.
        onRaw(socket, sourceOf(socket.remoteAddress ?? 'gone')),
      );
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once('error', reject);
      const options: ListenOptions = { host, port, backlog: BACKLOG };
      server.listen(options, resolve);
      await promise.catch((error: unknown) => {
        const why = systemErrorCode(error) ?? 'failed';
        throw new KmsError('UNAVAILABLE', `cannot listen on ${host}:${port}: ${why}`, {}, error);
      });
      const bound = server.address();
      const address = typeof bound === 'object' && bound ? formatAddress(bound.address, bound.port) : host;
      return { address, close: async () => void server.close() };
    },
  };
}

/** Returns what dials a TCP address. */
export function tcpDial({ host, port }: TcpAddress): Dial {
  return (signal) => connected(() => connect({ host, port, ...KEEP_ALIVE }), formatAddress(host, port), signal);
}

/**
 * Reads `host:port` or `[v6]:port`.
 *
 * @throws KmsError `CONFIG_INVALID` for anything else.
 * @example
 * parseTcpAddress('[::1]:50200'); // { host: '::1', port: 50200 }
 */
export function parseTcpAddress(text: string): TcpAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) throw new KmsError('CONFIG_INVALID', 'an address needs host:port');
  return { host, port };
}

/**
 * Returns who is counted for an address: itself, or for IPv6 its network of 64 bits, which one host has to itself.
 *
 * @example
 * sourceOf('2001:db8::5'); // '2001:db8:0:0'
 */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = new Array<string>(Math.max(8 - before.length - after.length, 0)).fill('0');
  return [...before, ...(tail === undefined ? [] : zeros), ...after].slice(0, 4).join(':');
}

function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
