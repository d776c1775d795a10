/**
 * Mesh connections over AF_VSOCK, between an enclave and its parent.
 *
 * Node has no such sockets: the native part relays each to one end of a socketpair and hands the other end over, so
 * that TLS keeps a native handle. It comes in as a parameter; this folder imports nothing native.
 */
import type { Socket } from 'node:net';
import type { Dial, Transport } from './transport.ts';

/** Where to listen or dial: the context id of the other end (3 is the parent of an enclave) and a port. */
export interface VsockAddress {
  readonly cid: number;
  readonly port: number;
}

/** What the native part offers. */
export interface VsockNative {
  vsockConnect(to: {
    readonly cid: number;
    readonly port: number;
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  }): Promise<Socket>;
  vsockListen(
    at: { readonly port: number; readonly cid?: number },
    onSocket: (socket: Socket, peerCid: number, peerPort: number) => void,
  ): Promise<{ close(): Promise<void> | void }>;
}

const DIAL_WITHIN_MS = 5_000;

/** Returns a transport that listens on a vsock port. A `cid` limits it to one of this machine's own addresses. */
export function vsockTransport(
  native: VsockNative,
  { cid, port }: Partial<VsockAddress> & { port: number },
): Transport {
  return {
    name: 'vsock',
    listen: async (onRaw) => {
      const at = cid === undefined ? { port } : { cid, port };
      const listening = await native.vsockListen(at, (socket, peerCid) => onRaw(socket, `cid ${peerCid}`));
      return { address: `${cid ?? 'any'}:${port}`, close: async () => await listening.close() };
    },
  };
}

/** Returns what dials a vsock address. */
export function vsockDial(native: VsockNative, { cid, port }: VsockAddress): Dial {
  return (signal) => native.vsockConnect({ cid, port, timeoutMs: DIAL_WITHIN_MS, signal });
}
