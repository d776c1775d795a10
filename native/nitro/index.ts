/**
 * The face of the native part that speaks to Nitro hardware: the NSM device and AF_VSOCK sockets. No secret passes
 * through it but what its callers send; both ends of a vsock are hostile network, so TLS goes on top.
 *
 * Linux only. Nothing is loaded before the first call, so importing this file is safe anywhere.
 */

import type { Socket } from 'node:net';
import { loadNitro } from './binding.ts';
import { type Join, type JoinOptions, JoinRelay } from './join.ts';
import { type NsmDevice, type NsmDeviceOptions, nsmDevice } from './nsm-device.ts';
import { type VsockConnectOptions, type VsockListener, type VsockListenOptions, VsockRelay } from './vsock.ts';

export type { Join, JoinEnd, JoinOptions } from './join.ts';
export type { NsmDevice, NsmDeviceOptions } from './nsm-device.ts';
export {
  VSOCK_CID_ANY,
  VSOCK_CID_LOCAL,
  VSOCK_CID_PARENT,
  type VsockConnectOptions,
  type VsockListener,
  type VsockListenOptions,
} from './vsock.ts';

let relay: VsockRelay | undefined;
let joins: JoinRelay | undefined;

/**
 * Opens the Nitro security module, once; requests to it run one at a time, off the event loop.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if there is no such device, `PERMISSION_DENIED` if it may not be opened,
 * `STATE_INVALID` if the native part is not built, `UNIMPLEMENTED` on another system than Linux.
 * @example
 * const nsm = openNsm(openNsmDevice(), 'nsm');
 */
export function openNsmDevice(options: NsmDeviceOptions = {}): NsmDevice {
  return nsmDevice(loadNitro(), options);
}

/**
 * Connects to a port of another machine or enclave on this host. The socket is one end of a Unix socket pair, whose
 * other end a native thread relays to the vsock, so TLS and HTTP/2 run on it as on any socket.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if nobody answers, `DEADLINE_EXCEEDED` after `timeoutMs`, `CANCELLED` on abort.
 */
export async function vsockConnect(options: VsockConnectOptions): Promise<Socket> {
  relay ??= new VsockRelay(loadNitro());
  return await relay.connect(options);
}

/**
 * Listens on a vsock port. The peer's CID is the hypervisor's word; its port is the peer's choice; neither
 * authenticates anybody.
 *
 * @param onSocket - Gets each connection and owns it; called on the event loop.
 * @throws {@link KmsError} `ALREADY_EXISTS` if the port is taken, `PERMISSION_DENIED` for ports below 1024 without the right.
 */
export async function vsockListen(
  options: VsockListenOptions,
  onSocket: (socket: Socket, peerCid: number, peerPort: number) => void,
): Promise<VsockListener> {
  relay ??= new VsockRelay(loadNitro());
  return await relay.listen(options, onSocket);
}

/**
 * Joins two connected sockets of any kind: from now on a native thread relays between them, and the caller has neither
 * any more, also if this fails. What Node has read of them already goes through first.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if one is closed already, `RESOURCE_EXHAUSTED` if the system has no room.
 */
export function joinSockets(first: Socket, second: Socket, options: JoinOptions): Join {
  joins ??= new JoinRelay(loadNitro());
  return joins.join(first, second, options);
}

/** Returns the bytes that joined sockets of a group have moved so far: from first to second, and back. */
export function joinedTraffic(group: number): readonly [number, number] {
  joins ??= new JoinRelay(loadNitro());
  return joins.traffic(group);
}
