/**
 * Where a route begins and ends, as its configuration writes it: `unix:/path`, `tcp:host:port`, `vsock:port`, and
 * `connect` for a target that each connection names itself.
 */
import { isAbsolute } from 'node:path';
import { parseTcpAddress } from '../attestation/mesh/transport-tcp.ts';

/** One end of a route. */
export type EndPoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'vsock'; readonly port: number }
  | { readonly kind: 'connect' };

const MAX_VSOCK_PORT = 0xfffffffe;
/** Longest path that fits `sockaddr_un` on Linux, without its final zero. */
const MAX_PATH_BYTES = 107;

/**
 * Reads an end of a route.
 *
 * @returns Undefined if the text is none.
 * @example
 * parseEndPoint('vsock:7100'); // { kind: 'vsock', port: 7100 }
 */
export function parseEndPoint(text: string): EndPoint | undefined {
  if (text === 'connect') return { kind: 'connect' };
  const [, kind, rest = ''] = /^([a-z]+):(.+)$/.exec(text) ?? [];
  switch (kind) {
    case 'unix':
      return isAbsolute(rest) && Buffer.byteLength(rest) <= MAX_PATH_BYTES ? { kind, path: rest } : undefined;
    case 'tcp': {
      const address = parseHostPort(rest);
      return address && { kind, ...address };
    }
    case 'vsock': {
      const port = Number(rest);
      return /^[0-9]{1,10}$/.test(rest) && port <= MAX_VSOCK_PORT ? { kind, port } : undefined;
    }
    default:
      return undefined;
  }
}

/** A host and a port of it. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** A DNS name or an IPv4 address; of IPv6, what stands between the brackets. */
const HOST = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const IPV6 = /^[0-9a-f:.]{2,45}$/;

/**
 * Reads `host:port` or `[v6]:port`; upper case becomes lower case.
 *
 * @returns Undefined for anything else: port 0, a final dot, names that are not ASCII.
 */
export function parseHostPort(text: string): HostPort | undefined {
  let address: HostPort;
  try {
    address = parseTcpAddress(text.toLowerCase());
  } catch {
    return undefined;
  }
  const { host, port } = address;
  const isHost = host.includes(':') ? IPV6.test(host) : HOST.test(host);
  return isHost && port > 0 ? address : undefined;
}
