/**
 * vsock of a Nitro parent: AF_VSOCK through the native relay. Who connects from elsewhere than the enclave is closed at
 * once. That is order and no defence: the parent is not trusted either.
 */
import type { Socket } from 'node:net';
import {
  VSOCK_CID_ANY,
  type VsockConnectOptions,
  type VsockListener,
  type VsockListenOptions,
} from '../native/nitro/index.ts';
import type { ParentVsock, ParentVsockOptions } from './parent-vsock.ts';

/** What the native part offers. */
export interface NativeVsock {
  connect(options: VsockConnectOptions): Promise<Socket>;
  listen(
    options: VsockListenOptions,
    onSocket: (socket: Socket, peerCid: number, peerPort: number) => void,
  ): Promise<VsockListener>;
}

/** Returns the vsock of the enclave with the given context id. */
export function afVsock(
  native: NativeVsock,
  cid: number,
  timeoutMs: number,
  onForeign: ParentVsockOptions['onForeign'],
): ParentVsock {
  return {
    address: { cid },
    connect: (port, signal, options) => native.connect({ cid, port, timeoutMs, signal, ...options }),
    listen: (port, onSocket, options) =>
      native.listen({ port, cid: VSOCK_CID_ANY, ...options }, (socket, peerCid) => {
        if (peerCid === cid) {
          onSocket(socket);
          return;
        }
        // Another enclave of this machine, or a process of it: the port is not theirs.
        socket.destroy();
        onForeign?.(peerCid, port);
      }),
  };
}
