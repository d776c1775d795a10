/**
 * What carries commands to a TPM: the kernel's device (one write and one read for each command, on the thread pool), or
 * a stream socket, as simulators and proxies have it. One command runs at a time.
 *
 * Commands hold the authorization value of an NV index, which is worthless once the index is gone.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import { HEADER_BYTES, MAX_MESSAGE_BYTES } from './constants.ts';

/** Carries one command at a time. */
export interface TpmTransport {
  /**
   * Sends a whole command and returns the whole response.
   *
   * @throws {@link KmsError} `UNAVAILABLE` if the TPM is not there, fails, or does not answer in time;
   * `PERMISSION_DENIED` if this process may not use it.
   */
  send(command: Uint8Array): Promise<Uint8Array>;
  /** Lets the TPM go after the running command. May be called again. */
  close(): void;
}

/** The kernel's TPM device, with its own resource manager. */
export const TPM_DEVICE = '/dev/tpmrm0';

/** Longest that a socket may take for one command. */
const SOCKET_TIMEOUT_MS = 20_000;

/** Returns the TPM behind a device file, which is opened at the first command and again after a failure. */
export function tpmDevice(path: string = TPM_DEVICE): TpmTransport {
  let handle: FileHandle | undefined;
  const buffer = Buffer.alloc(MAX_MESSAGE_BYTES);

  const exchange = async (command: Uint8Array): Promise<Uint8Array> => {
    try {
      handle ??= await open(path, 'r+');
      const { bytesWritten } = await handle.write(command, 0, command.length, null);
      if (bytesWritten !== command.length) throw new KmsError('UNAVAILABLE', 'the TPM took a part of a command only');
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      const response = Uint8Array.from(buffer.subarray(0, bytesRead));
      if (bytesRead < HEADER_BYTES || responseSize(response) !== bytesRead) throw badSize(bytesRead);
      return response;
    } catch (error) {
      // Whatever the device still holds belongs to nobody: the kernel drops it with the file.
      const broken = handle;
      handle = undefined;
      await broken?.close().catch(() => undefined);
      throw deviceError(path, error);
    } finally {
      buffer.fill(0);
    }
  };

  return serialised(exchange, async () => {
    await handle?.close();
    handle = undefined;
  });
}

/** Returns the TPM behind a Unix socket, or a TCP port of this machine; connected at the first command. */
export function tpmSocket(
  at: { readonly path: string } | { readonly host: string; readonly port: number },
  { timeoutMs = SOCKET_TIMEOUT_MS }: { readonly timeoutMs?: number } = {},
): TpmTransport {
  let socket: Socket | undefined;

  const exchange = async (command: Uint8Array): Promise<Uint8Array> => {
    socket ??= await connected(at, timeoutMs);
    const used = socket;
    try {
      return await exchangeOver(used, command, timeoutMs);
    } catch (error) {
      used.destroy();
      socket = undefined;
      throw error;
    }
  };

  return serialised(exchange, async () => {
    socket?.destroy();
    socket = undefined;
  });
}

/** One command after the other; `close` runs after the last. */
function serialised(exchange: (command: Uint8Array) => Promise<Uint8Array>, close: () => Promise<void>): TpmTransport {
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;
  return {
    send: (command) => {
      if (closed) return Promise.reject(new KmsError('UNAVAILABLE', 'the TPM is closed'));
      if (command.length < HEADER_BYTES || command.length > MAX_MESSAGE_BYTES) {
        return Promise.reject(new KmsError('REQUEST_INVALID', 'no TPM takes a command of this size'));
      }
      const response = last.then(() => exchange(command));
      last = response.catch(() => undefined);
      return response;
    },
    close: () => {
      if (closed) return;
      closed = true;
      // A file that does not close is the kernel's to clean up.
      void last.then(close).catch(() => undefined);
    },
  };
}

function connected(at: Parameters<typeof tpmSocket>[0], timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = 'path' in at ? connect(at.path) : connect(at.port, at.host);
    const fail = (cause?: unknown) => {
      socket.destroy();
      reject(new KmsError('UNAVAILABLE', 'the TPM socket cannot be reached', {}, cause));
    };
    socket.setTimeout(timeoutMs, fail);
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', fail);
      // Faults between commands show at the next one.
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

function exchangeOver(socket: Socket, command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let response = Buffer.alloc(0);
    const settle = (done: () => void) => {
      socket.setTimeout(0);
      socket.off('data', onData).off('close', onClose).off('timeout', onTimeout);
      done();
    };
    const fail = (message: string) => settle(() => reject(new KmsError('UNAVAILABLE', message)));
    const onClose = () => fail('the TPM socket was closed');
    const onTimeout = () => fail('the TPM did not answer in time');
    const onData = (chunk: Buffer) => {
      response = Buffer.concat([response, chunk]);
      if (response.length < HEADER_BYTES) return;
      const size = responseSize(response);
      if (size < HEADER_BYTES || size > MAX_MESSAGE_BYTES || response.length > size) {
        fail('the TPM gave a response of the wrong size');
      } else if (response.length === size) {
        settle(() => resolve(Uint8Array.from(response)));
      }
    };
    if (socket.destroyed) return onClose();
    socket.on('data', onData).on('close', onClose).on('timeout', onTimeout);
    socket.setTimeout(timeoutMs);
    socket.write(command);
  });
}

function responseSize(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(2);
}

function badSize(sizeBytes: number): KmsError {
  return new KmsError('UNAVAILABLE', 'the TPM gave a response of the wrong size', { sizeBytes });
}

function deviceError(path: string, error: unknown): unknown {
  if (error instanceof KmsError) return error;
  const errno = systemErrorCode(error) ?? 'unknown';
  if (errno === 'ENOENT' || errno === 'ENXIO' || errno === 'ENODEV') {
    return new KmsError('UNAVAILABLE', `there is no TPM at ${path}`, { errno }, error);
  }
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new KmsError('PERMISSION_DENIED', `${path} may not be opened: add this user to its group`, { errno }, error);
  }
  return new KmsError('UNAVAILABLE', `the TPM at ${path} failed`, { errno }, error);
}
