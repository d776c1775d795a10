/**
 * What a connection says that names its own target: the head of an HTTP/1.1 CONNECT request, and the answers to it.
 * Everything read here is hostile.
 */
import type { Socket } from 'node:net';
import { KmsError } from '../common/errors.ts';
import { type HostPort, parseHostPort } from './end-point.ts';

/** Longest head, final empty line included. */
export const MAX_HEAD_BYTES = 1024;

/** Sent when the target is reached; the target's bytes follow. */
export const ESTABLISHED = 'HTTP/1.1 200 OK\r\n\r\n';

/** Why a connection gets no target, and what its client is told. */
export const REFUSALS = {
  malformed: '400 Bad Request',
  denied: '403 Forbidden',
  unreachable: '502 Bad Gateway',
  full: '503 Service Unavailable',
  timeout: '504 Gateway Timeout',
} as const;

/** A name out of {@link REFUSALS}. */
export type Refusal = keyof typeof REFUSALS;

const HEAD = /^CONNECT ([\x21-\x7e]{1,300}) HTTP\/1\.[01]\r\n(?:[\x20-\x7e\t]+\r\n)*\r\n$/;
const END = Buffer.from('\r\n\r\n');

/** Returns the answer that refuses, after which the connection ends. */
export function refusalAnswer(refusal: Refusal): string {
  return `HTTP/1.1 ${REFUSALS[refusal]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
}

/**
 * Returns the target that a head names.
 *
 * @returns Undefined if it is no such head.
 */
export function parseConnectHead(head: Uint8Array): HostPort | undefined {
  const [, authority] = HEAD.exec(Buffer.from(head).toString('latin1')) ?? [];
  return authority === undefined ? undefined : parseHostPort(authority);
}

/**
 * Reads the head off a socket; what came behind it stays there to be read.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it ends before the head does, or the head is too long or none; the
 * signal's reason when it fires.
 */
export async function readConnectHead(socket: Socket, signal: AbortSignal): Promise<HostPort> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  let read = Buffer.alloc(0);
  const onReadable = (): void => {
    const chunk: unknown = socket.read();
    if (!(chunk instanceof Uint8Array)) return;
    // The end may begin in what was read before.
    const from = Math.max(0, read.length - END.length + 1);
    read = Buffer.concat([read, chunk]);
    const at = read.indexOf(END, from);
    const size = at < 0 ? read.length : at + END.length;
    if (size > MAX_HEAD_BYTES) reject(malformed());
    else if (at >= 0) resolve(read.subarray(0, size));
  };
  const onEnd = (): void => reject(malformed());
  const onAbort = (): void => reject(signal.reason);
  socket.on('readable', onReadable).once('end', onEnd).once('close', onEnd);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    onReadable();
    const head = await promise;
    const target = parseConnectHead(head);
    if (!target) throw malformed();
    if (head.length < read.length) socket.unshift(read.subarray(head.length));
    return target;
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd);
  }
}

function malformed(): KmsError {
  return new KmsError('REQUEST_INVALID', `needs an HTTP CONNECT head of at most ${MAX_HEAD_BYTES} bytes`);
}
