/**
 * The parent of an enclave in a test's own process: its vsock ports are Unix sockets in a folder, and so are the ports that
 * the enclave listens on. What answers on each is the test's.
 */
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { connected } from '../../attestation/mesh/transport.ts';
import type { VsockNative } from '../../attestation/mesh/transport-vsock.ts';
import {
  BOOT_DOCUMENT_MAX_BYTES,
  type BootDocument,
  encodeBootDocument,
  PARENT_PORT,
} from '../../common/enclave-boot.ts';
import { type OnStranger, openParentLink, type ParentLink } from '../../enclave/boot/parent-link.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** See the file comment. */
export interface FakeParent {
  readonly link: ParentLink;
  /** Serves a port of the parent. */
  serve(port: number, onSocket: (socket: Socket) => void): Promise<void>;
  /** Answers every dial of the boot port with these bytes, then closes. */
  serveBoot(bytes: () => Uint8Array): Promise<void>;
  /** Dials a port of the enclave from a context id. */
  dialEnclave(port: number, fromCid?: number): Promise<Socket>;
  /** Port and context id of each dial of the enclave. */
  readonly dials: readonly { readonly cid: number; readonly port: number }[];
}

/** The context id of the parent in tests. */
export const CID = 3;

/** Starts a parent that listens nowhere yet. */
export function fakeParent(t: Teardown, onStranger: OnStranger = () => {}): FakeParent {
  const folder = tempDir(t);
  const dials: { cid: number; port: number }[] = [];
  const fromCids = new Map<number, number>();
  const listen = async (path: string, onSocket: (socket: Socket) => void): Promise<() => void> => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      t.teardown(() => void socket.destroy());
      onSocket(socket);
    });
    await new Promise<void>((resolve) => server.listen(join(folder, path), resolve));
    const close = (): void => void server.close();
    t.teardown(close);
    return close;
  };
  const dial = (path: string, signal: AbortSignal): Promise<Socket> =>
    connected(() => connect(join(folder, path)), path, signal);
  const native: VsockNative = {
    vsockConnect: ({ cid, port, signal, timeoutMs }) => {
      dials.push({ cid, port });
      return dial(`${cid}_${port}`, signal ?? AbortSignal.timeout(timeoutMs));
    },
    vsockListen: async ({ port }, onSocket) => {
      const close = await listen(`in_${port}`, (socket) => onSocket(socket, fromCids.get(port) ?? CID, 1024));
      return { close };
    },
  };
  const serve = async (port: number, onSocket: (socket: Socket) => void): Promise<void> => {
    await listen(`${CID}_${port}`, onSocket);
  };
  return {
    link: openParentLink(native, CID, onStranger),
    serve,
    serveBoot: (bytes) => serve(PARENT_PORT.boot, (socket) => void socket.end(bytes())),
    dialEnclave: (port, fromCid = CID) => {
      fromCids.set(port, fromCid);
      return dial(`in_${port}`, AbortSignal.timeout(60_000));
    },
    dials,
  };
}

/** Returns a boot document's bytes with another length in front. */
export function withLength(document: BootDocument, sizeBytes = BOOT_DOCUMENT_MAX_BYTES + 1): Uint8Array {
  const wire = encodeBootDocument(document);
  new DataView(wire.buffer).setUint32(0, sizeBytes);
  return wire;
}
