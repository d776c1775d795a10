/**
 * vsock as the parent sees it, in its two forms: AF_VSOCK of a Nitro parent, and the Unix sockets of
 * `vhost-device-vsock`, behind which QEMU runs an enclave. Whoever listens on a port listens for one enclave alone.
 *
 * Everything that comes in is hostile network input; TLS and proofs go on top.
 */
import type { Socket } from 'node:net';
import { vsockConnect, vsockListen } from '../native/nitro/index.ts';
import { afVsock } from './af-vsock.ts';
import { unixVsock } from './unix-vsock.ts';

/** Where an enclave's vsock is: its context id, or the Unix socket that stands for it. */
export type VsockPlace = { readonly cid: number } | { readonly path: string };

/** How a socket is handed over. */
export interface SocketOptions {
  /** As in `node:net`: whether the socket stays writable after the peer's end. Default false. */
  readonly allowHalfOpen?: boolean;
}

/** A listening port. */
export interface ParentListener {
  /** Stops listening; connections that are open stay so. */
  close(): Promise<void>;
}

/** The vsock between this parent and one enclave. */
export interface ParentVsock {
  readonly address: VsockPlace;
  /**
   * Connects to a port of the enclave.
   *
   * @throws {@link KmsError} `UNAVAILABLE` if nobody listens there, `DEADLINE_EXCEEDED` if nobody answers within ten
   * seconds, `CANCELLED` on abort.
   */
  connect(port: number, signal?: AbortSignal, options?: SocketOptions): Promise<Socket>;
  /**
   * Listens on a port of the parent for connections of the enclave.
   *
   * @throws {@link KmsError} `ALREADY_EXISTS` or `UNAVAILABLE` if the port cannot be had.
   */
  listen(port: number, onSocket: (socket: Socket) => void, options?: SocketOptions): Promise<ParentListener>;
}

/** Settings of {@link parentVsock}. */
export interface ParentVsockOptions {
  /** Told of each connection that came from elsewhere than the enclave; it is closed already. */
  readonly onForeign?: ((cid: number, port: number) => void) | undefined;
}

const CONNECT_WITHIN_MS = 10_000;
const NATIVE = { connect: vsockConnect, listen: vsockListen };

/**
 * Returns the vsock of the enclave at `place`. Nothing is opened yet.
 *
 * @example
 * const socket = await parentVsock({ cid: 16 }).connect(7100);
 */
export function parentVsock(place: VsockPlace, { onForeign }: ParentVsockOptions = {}): ParentVsock {
  return 'path' in place
    ? unixVsock(place.path, CONNECT_WITHIN_MS)
    : afVsock(NATIVE, place.cid, CONNECT_WITHIN_MS, onForeign);
}
