/**
 * Unix sockets that belong to this user alone.
 */
import { chmod, lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type ServerOpts, type Socket } from 'node:net';
import { KmsError, systemErrorCode } from '../common/errors.ts';

const BACKLOG = 1024;

/**
 * Listens on `path`, with mode 0600. A socket that a killed process left is removed; one that still answers is not, and
 * nothing else is.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if it cannot be listened on.
 */
export async function listenUnix(
  path: string,
  options: ServerOpts,
  onSocket: (socket: Socket) => void,
): Promise<{ close(): Promise<void> }> {
  if (await answers(path)) throw new KmsError('UNAVAILABLE', `another process listens on ${path}`);
  await removeSocket(path);
  const server = createServer(options, onSocket);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path, backlog: BACKLOG }, resolve);
  await promise.catch((error: unknown) => {
    throw cannotListen(path, error);
  });
  await chmod(path, 0o600);
  return { close: async () => void server.close() };
}

async function removeSocket(path: string): Promise<void> {
  try {
    if ((await lstat(path)).isSocket()) await unlink(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw cannotListen(path, error);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const settle = (answer: boolean): void => {
      probe.destroy();
      resolve(answer);
    };
    probe.once('connect', () => settle(true));
    probe.once('error', () => settle(false));
  });
}

function cannotListen(path: string, error: unknown): KmsError {
  const errno = systemErrorCode(error) ?? 'unknown';
  return new KmsError('UNAVAILABLE', `cannot listen on ${path}: ${errno}`, { errno }, error);
}
