/**
 * What carries a mesh connection: a byte stream that is trusted with nothing.
 *
 * TLS and the proof run on top, so a transport neither authenticates nor encrypts. What it does owe: an address for
 * the log, a source for the handshake budget, and streams with half-close and back pressure.
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { KmsError, systemErrorCode } from '../../common/errors.ts';

/** Receives each accepted stream. `source` names who is counted for it: an address without its port, or `unix`. */
export type OnRaw = (raw: Duplex, source: string) => void;

/** A listener that is up. */
export interface Listening {
  /** Where it can be dialled: a path, `host:port`, or `cid:port`. */
  readonly address: string;
  /** Stops accepting; streams that were handed out belong to whoever took them. */
  close(): Promise<void>;
}

/** One way to listen for streams. */
export interface Transport {
  readonly name: 'unix' | 'tcp' | 'vsock';
  /** @throws KmsError `UNAVAILABLE` if the address is taken, `CONFIG_INVALID` if it is none. */
  listen(onRaw: OnRaw): Promise<Listening>;
}

/**
 * Opens a stream to one fixed address. The signal bounds the dialling only; the stream outlives it.
 *
 * @throws KmsError `UNAVAILABLE` with the reason for people, `CANCELLED` if the signal had aborted before.
 */
export type Dial = (signal: AbortSignal) => Promise<Duplex>;

/** Streams that the kernel may complete before the process takes them: a crowd's burst must not turn peers away. */
export const BACKLOG = 4096;

/** Bytes that a stream may have in its buffer before anyone reads it: enough for a ClientHello. */
export const UNREAD_BYTES = 4096;

/**
 * Waits until a socket under way is connected.
 *
 * @param where - For the error's message.
 * @throws KmsError `UNAVAILABLE` or `CANCELLED`; the socket is destroyed then.
 */
export async function connected(dial: () => Socket, where: string, signal: AbortSignal): Promise<Socket> {
  // Not as the socket's own option: it would heed the signal for as long as it lives.
  if (signal.aborted) throw new KmsError('CANCELLED', `no longer connecting to ${where}`);
  const socket = dial();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => void socket.destroy(new Error('took too long'));
  signal.addEventListener('abort', onAbort, { once: true });
  socket.once('connect', resolve);
  socket.once('error', reject);
  try {
    await promise;
  } catch (error) {
    throw new KmsError('UNAVAILABLE', `connecting to ${where}: ${whyNot(error)}`, {}, error);
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.off('connect', resolve);
  }
  socket.off('error', reject);
  return socket;
}

function whyNot(error: unknown): string {
  const code = systemErrorCode(error);
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return 'nobody listens there';
  return code ?? 'took too long';
}
