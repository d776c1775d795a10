/**
 * The ports of the parent that an enclave dials: what it says, what it is configured with, and for test images the signer of
 * its attestation documents. Opened before it boots. Whoever dials is a stranger: streams are few, short and silent.
 */
import type { Socket } from 'node:net';
import type { DeveloperRootKey } from '../../../attestation/developer/chain.ts';
import { serveNsm } from '../../../attestation/developer/nsm-link.ts';
import { createRegisterSigner } from '../../../attestation/developer/register-signer.ts';
import { systemClock } from '../../../common/clock.ts';
import { type BootDocument, encodeBootDocument, PARENT_PORT } from '../../../common/enclave-boot.ts';
import { isKmsError } from '../../../common/errors.ts';
import type { ParentVsock } from '../../../vsock-proxy/parent-vsock.ts';
import type { DropReason } from './dropped-streams.ts';
import type { EnclaveWords } from './enclave-words.ts';

/** What stands behind the doors. */
export interface DoorsOptions {
  readonly words: EnclaveWords;
  /** The boot document as it is now: a running engine asks again for newer governance. */
  readonly document: () => Promise<BootDocument>;
  /** The root under which documents of a test image are signed; absent: nobody listens there. */
  readonly developerRoot?: DeveloperRootKey | undefined;
  /** Learns why a document could not be handed over. */
  readonly onFault: (why: string) => void;
  /** Told of each stream that was dropped. */
  readonly onDropped: (port: number, why: DropReason) => void;
}

/** Open doors. */
export interface EnclaveDoors {
  close(): Promise<void>;
}

/** At once, on one port; an enclave needs one. */
const MAX_STREAMS = 8;
/** Whoever does not read its document meanwhile has no use for it. */
const IDLE_MS = 10_000;

/**
 * Opens the doors for one start.
 *
 * @throws {@link KmsError} `ALREADY_EXISTS` or `UNAVAILABLE` if a port cannot be had.
 */
export async function openDoors(vsock: Pick<ParentVsock, 'listen'>, options: DoorsOptions): Promise<EnclaveDoors> {
  const { words, document, developerRoot: root, onFault, onDropped } = options;
  const opened: { close(): Promise<void> }[] = [];
  const sockets = new Set<Socket>();
  const listen = async (port: number, serve: (socket: Socket) => void): Promise<void> => {
    let open = 0;
    const take = (socket: Socket): void => {
      socket.on('error', () => socket.destroy());
      if (open >= MAX_STREAMS) {
        socket.destroy();
        onDropped(port, 'full');
        return;
      }
      open++;
      sockets.add(socket);
      socket.once('close', () => {
        open--;
        sockets.delete(socket);
      });
      serve(socket);
    };
    opened.push(await vsock.listen(port, take));
  };
  const close = async (): Promise<void> => {
    for (const listener of opened.splice(0)) await listener.close();
    for (const socket of sockets) socket.destroy();
    words.close();
  };
  try {
    const hear = (socket: Socket): void => {
      if (!words.take(socket)) onDropped(PARENT_PORT.logs, 'full');
    };
    opened.push(await vsock.listen(PARENT_PORT.logs, hear));
    await listen(PARENT_PORT.boot, (socket) => {
      socket.setTimeout(IDLE_MS, () => {
        socket.destroy();
        onDropped(PARENT_PORT.boot, 'idle');
      });
      void handOver(socket, document, onFault);
    });
    if (root) {
      const signer = createRegisterSigner({ root, clock: systemClock });
      await listen(PARENT_PORT.testNsm, (socket) => serveNsm(socket, signer));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}

async function handOver(
  socket: Socket,
  document: DoorsOptions['document'],
  onFault: DoorsOptions['onFault'],
): Promise<void> {
  // What the other end writes is of no interest, but its end is.
  socket.resume();
  try {
    socket.end(encodeBootDocument(await document()));
  } catch (error) {
    socket.destroy();
    onFault(isKmsError(error) ? error.message : 'the boot document cannot be made');
  }
}
