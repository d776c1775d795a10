/**
 * Streams to the outside by name: the enclave has no network, so it asks its parent with HTTP's CONNECT. The parent looks
 * the name up and may connect us to anybody; TLS that ends in here, with pinned authorities or the proof of the mesh, is
 * what makes it the right one.
 */
import { isIP, type Socket } from 'node:net';
import { KmsError } from '../../common/errors.ts';

/** Longest answer of the parent before the stream begins. */
const MAX_HEAD_BYTES = 1024;
const END = '\r\n\r\n';
const NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/** What the parent's answers mean, by status. */
const REFUSALS: Readonly<Record<string, string>> = {
  '403': 'is not on the allow-list of the parent: add it to the routes of vsock-proxy',
  '502': 'cannot be reached from the parent: check its network and the name',
  '503': 'is one connection too many for the parent',
  '504': 'did not answer the parent in time',
};

/**
 * Asks the parent, on a stream to its egress port, for a connection to a host.
 *
 * @param socket - Owned from now on; destroyed if there is no connection.
 * @returns The same stream, on which the host's bytes come next.
 * @throws KmsError `UNAVAILABLE` with the reason and its cure; `CANCELLED` if the signal fired; `CONFIG_INVALID` for what is
 *   no name and no address.
 */
export async function connectThrough(
  socket: Socket,
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<Socket> {
  try {
    const target = `${isIP(host) === 6 ? `[${host}]` : nameOf(host)}:${port}`;
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}${END}`);
    const head = await readHead(socket, signal);
    const status = /^HTTP\/1\.1 (\d{3})[ \r]/.exec(head)?.[1];
    if (status === '200') return socket;
    const why = REFUSALS[status ?? ''] ?? 'got no answer from the parent that makes sense';
    throw new KmsError('UNAVAILABLE', `${target} ${why}`, { status: Number(status ?? 0) });
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function nameOf(host: string): string {
  const name = host.toLowerCase();
  if (isIP(name) === 4 || NAME.test(name)) return name;
  throw new KmsError('CONFIG_INVALID', 'needs the name of a host or an address');
}

/** Reads to the empty line and not a byte further, since TLS takes the socket over below its buffer. */
async function readHead(socket: Socket, signal: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let head = '';
  const onReadable = (): void => {
    while (!head.endsWith(END) && head.length <= MAX_HEAD_BYTES) {
      const one: unknown = socket.read(1);
      if (!(one instanceof Uint8Array)) return;
      head += String.fromCharCode(one[0] ?? 0);
    }
    if (head.endsWith(END)) resolve(head);
    else reject(unavailable('the parent answers without end'));
  };
  const onEnd = (): void => reject(unavailable('the parent closed the connection'));
  const onError = (error: Error): void => reject(unavailable('the connection to the parent broke', error));
  const onAbort = (): void => reject(new KmsError('CANCELLED', 'no longer connecting', {}, signal.reason));
  socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd).on('error', onError);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    const whole = await promise;
    // The host speaks only after it was spoken to: what is here already comes from the parent.
    if (socket.readableLength > 0) throw unavailable('the parent speaks in the name of the host');
    return whole;
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', onError);
  }
}

function unavailable(why: string, cause?: unknown): KmsError {
  return new KmsError('UNAVAILABLE', why, {}, cause);
}
