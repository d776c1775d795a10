/**
 * All that an enclave has of a network: vsock to and from its parent. What comes in is hostile, whoever sent it; the
 * context id of the other end is looked at as hygiene only.
 */
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Dial, Transport } from '../../attestation/mesh/transport.ts';
import { parseTcpAddress } from '../../attestation/mesh/transport-tcp.ts';
import { type VsockNative, vsockTransport } from '../../attestation/mesh/transport-vsock.ts';
import type { Connect } from '../../common/connecting-agents.ts';
import { PARENT_CID, PARENT_PORT } from '../../common/enclave-boot.ts';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import { connectThrough } from './egress.ts';

/** See the file comment. */
export interface ParentLink {
  /** Opens a stream to a port of the parent. @throws KmsError `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `CANCELLED`. */
  readonly dial: (port: number, signal: AbortSignal) => Promise<Socket>;
  /** Opens a stream to a host by its name, for clients of HTTP. */
  readonly connect: Connect;
  /** Returns what dials `host:port` through the parent, for the mesh. */
  readonly dialOut: (endpoint: string) => Dial;
  /** Returns what listens on a port for streams from the parent. */
  readonly transport: (port: number) => Transport;
}

/** Told of streams that did not come from the parent, which are dropped; `count` of them since the start. */
export type OnStranger = (cid: number, count: number) => void;

const DIAL_WITHIN_MS = 5_000;
/** A name is looked up and a connection made on the parent in this time. */
const CONNECT_WITHIN_MS = 15_000;

/** Opens the link. Nothing is dialled yet. */
export function openParentLink(native: VsockNative, cid: number, onStranger: OnStranger): ParentLink {
  let strangers = 0;
  const fromParent: VsockNative = {
    vsockConnect: native.vsockConnect,
    vsockListen: (at, onSocket) =>
      native.vsockListen(at, (socket, peerCid, peerPort) => {
        if (peerCid === cid) return onSocket(socket, peerCid, peerPort);
        socket.destroy();
        strangers += 1;
        onStranger(peerCid, strangers);
      }),
  };
  const dial: ParentLink['dial'] = (port, signal) =>
    native.vsockConnect({ cid, port, timeoutMs: DIAL_WITHIN_MS, signal });
  const dialOut = async (to: { readonly host: string; readonly port: number }, signal: AbortSignal): Promise<Socket> =>
    await connectThrough(await dial(PARENT_PORT.egress, signal), to, signal);
  return {
    dial,
    connect: (host, port) => dialOut({ host, port }, AbortSignal.timeout(CONNECT_WITHIN_MS)),
    dialOut: (endpoint) => {
      const to = parseTcpAddress(endpoint);
      return (signal) => dialOut(to, signal);
    },
    transport: (port) => vsockTransport(fromParent, { port }),
  };
}

/** Returns the parent's context id, as init wrote it down out of the boot parameters. */
export async function readParentCid(folder: string): Promise<number> {
  const text = await readFile(`${folder}/parent-cid`, 'utf8').catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return String(PARENT_CID);
    throw error;
  });
  const cid = /^\d{1,10}\n?$/.test(text) ? Number(text) : 0;
  if (cid >= 2 && cid < 0xffff_ffff) return cid;
  throw new KmsError('STATE_INVALID', 'init left no context id of the parent');
}
