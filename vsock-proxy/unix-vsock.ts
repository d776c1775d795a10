/**
 * The Unix-socket form of vsock that `vhost-device-vsock` offers, as the host of a guest sees it.
 *
 * Guest to host: the daemon dials `<path>_<port>`. Host to guest: dial `<path>`, send `CONNECT <port>\n`, wait for
 * `OK <n>\n`. What is sent before the answer is lost for ever, so nothing is.
 */
import { connect, type Socket } from 'node:net';
import { KmsError, systemErrorCode } from '../common/errors.ts';
import { listenUnix } from './listen-unix.ts';
import type { ParentVsock, SocketOptions } from './parent-vsock.ts';

const MAX_PORT = 0xfffffffe;
/** `OK 4294967295\n` has 14 bytes. */
const MAX_ANSWER_BYTES = 32;

/** Returns the vsock behind the daemon's socket at `path`; `connectWithinMs` bounds each connect. */
export function unixVsock(path: string, connectWithinMs: number): ParentVsock {
  return {
    address: { path },
    connect: async (port, signal, options) => {
      checkPort(port);
      const late = AbortSignal.timeout(connectWithinMs);
      const either = signal ? AbortSignal.any([signal, late]) : late;
      try {
        return await dial(path, port, either, options);
      } catch (error) {
        if (signal?.aborted) throw new KmsError('CANCELLED', 'the vsock connect was given up', {}, signal.reason);
        if (late.aborted)
          throw new KmsError('DEADLINE_EXCEEDED', 'nobody answered on the vsock port in time', { port });
        throw error;
      }
    },
    listen: async (port, onSocket, options = {}) => {
      checkPort(port);
      return await listenUnix(`${path}_${port}`, options, onSocket);
    },
  };
}

async function dial(
  path: string,
  port: number,
  signal: AbortSignal,
  { allowHalfOpen = false }: SocketOptions = {},
): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connect({ path, allowHalfOpen });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const answer: number[] = [];
  const onReadable = (): void => {
    // Byte by byte: what follows the line belongs to whoever gets the socket.
    for (let byte = readByte(socket); byte !== undefined; byte = readByte(socket)) {
      if (byte === 0x0a) {
        resolve();
        return;
      }
      if (answer.push(byte) === MAX_ANSWER_BYTES) {
        reject(refused(port));
        return;
      }
    }
  };
  const onEnd = (): void => reject(refused(port));
  const onError = (error: Error): void => {
    const errno = systemErrorCode(error) ?? 'unknown';
    reject(new KmsError('UNAVAILABLE', 'the vsock daemon cannot be reached', { port, errno }, error));
  };
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  socket.on('readable', onReadable).once('end', onEnd).once('close', onEnd).once('error', onError);
  try {
    socket.write(`CONNECT ${port}\n`);
    await promise;
    if (!/^OK [0-9]{1,10}$/.test(Buffer.from(answer).toString('latin1'))) throw refused(port);
  } catch (error) {
    socket.off('error', onError).on('error', () => undefined);
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
  }
  socket.off('error', onError);
  return socket;
}

function readByte(socket: Socket): number | undefined {
  const chunk: unknown = socket.read(1);
  return chunk instanceof Uint8Array ? chunk[0] : undefined;
}

function refused(port: number): KmsError {
  return new KmsError('UNAVAILABLE', 'the vsock port cannot be reached', { port });
}

function checkPort(port: number): void {
  if (Number.isInteger(port) && port >= 0 && port <= MAX_PORT) return;
  throw new KmsError('REQUEST_INVALID', `vsock port must be a whole number from 0 to ${MAX_PORT}`, { name: 'port' });
}
