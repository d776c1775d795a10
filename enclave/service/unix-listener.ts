/**
 * The engine's listener of developer mode: a Unix socket of mode 0600 in a folder of mode 0700.
 *
 * The file system is the access control: only the user that runs the engine can connect.
 */
import { chmod, mkdir, stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import type { EngineListener } from './engine-listener.ts';

/** Longest path that fits `sockaddr_un` on Linux, without its final zero. */
const PATH_LIMIT_BYTES = 107;

/**
 * Returns a listener on `socketPath`.
 *
 * A socket file left by a killed engine is removed; one that still answers is not. The folder is made if it does not
 * exist; one that others may enter is refused rather than changed.
 */
export function unixListener(socketPath: string): EngineListener {
  const server = createServer();
  return {
    listen: async (onLink) => {
      await prepare(socketPath);
      server.on('connection', (stream: Socket) => onLink({ stream, peer: 'unix' }));
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(socketPath, resolve);
      }).catch((error: unknown) => {
        throw new KmsError('UNAVAILABLE', `cannot listen on ${socketPath}: ${systemErrorCode(error) ?? 'failed'}`);
      });
      await chmod(socketPath, 0o600);
    },
    close: () =>
      new Promise<void>((resolve) => {
        // Does not wait for links: whoever was handed one closes it.
        server.close();
        resolve();
      }),
  };
}

async function prepare(socketPath: string): Promise<void> {
  const sizeBytes = Buffer.byteLength(socketPath);
  if (sizeBytes > PATH_LIMIT_BYTES) {
    throw new KmsError('CONFIG_INVALID', `engine.socket_path needs at most ${PATH_LIMIT_BYTES} bytes`, { sizeBytes });
  }
  const folder = dirname(socketPath);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(folder);
  if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
    throw new KmsError('STATE_INVALID', `${folder} must belong to this user with mode 0700: chmod 700 it`);
  }
  if (await answers(socketPath)) throw new KmsError('UNAVAILABLE', `another engine listens on ${socketPath}`);
  await unlink(socketPath).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  });
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (answer: boolean) => {
      probe.destroy();
      resolve(answer);
    };
    probe.once('connect', () => settle(true));
    probe.once('error', () => settle(false));
  });
}
