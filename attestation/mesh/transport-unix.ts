/**
 * Mesh connections over a Unix socket of mode 0600 in a folder of mode 0700.
 *
 * The file system keeps other users of the machine out before TLS has to; it is no substitute for the proof.
 */
import { chmod, mkdir, stat, unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { KmsError, systemErrorCode } from '../../common/errors.ts';
import { BACKLOG, connected, type Dial, type Transport, UNREAD_BYTES } from './transport.ts';

/** Between two attempts while the listener's queue is full. */
const QUEUE_FULL_MS = 5;
/** Longest path that fits `sockaddr_un` on Linux, without its final zero. */
const PATH_LIMIT_BYTES = 107;

/**
 * Returns a transport that listens on `socketPath`.
 *
 * A socket file left by a killed process is removed; one that still answers is not. The folder is made if it does not
 * exist; one that others may enter is refused rather than changed.
 */
export function unixTransport(socketPath: string): Transport {
  return {
    name: 'unix',
    listen: async (onRaw) => {
      await prepare(socketPath);
      const server = createServer({ highWaterMark: UNREAD_BYTES }, (socket) => onRaw(socket, 'unix'));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once('error', reject);
      server.listen({ path: socketPath, backlog: BACKLOG }, resolve);
      await promise.catch((error: unknown) => {
        const why = systemErrorCode(error) ?? 'failed';
        throw new KmsError('UNAVAILABLE', `cannot listen on ${socketPath}: ${why}`, {}, error);
      });
      await chmod(socketPath, 0o600);
      return {
        address: socketPath,
        close: async () => void server.close(),
      };
    },
  };
}

/** Returns what dials the Unix socket at `socketPath`; while its queue is full, it waits for room until the signal. */
export function unixDial(socketPath: string): Dial {
  return async (signal) => {
    for (;;) {
      try {
        return await connected(() => connect({ path: socketPath }), socketPath, signal);
      } catch (error) {
        // TCP would wait by itself; a Unix socket says no at once.
        const full = error instanceof KmsError && systemErrorCode(error.cause) === 'EAGAIN';
        if (!full || signal.aborted) throw error;
        await delay(QUEUE_FULL_MS);
      }
    }
  };
}

async function prepare(socketPath: string): Promise<void> {
  const sizeBytes = Buffer.byteLength(socketPath);
  if (sizeBytes > PATH_LIMIT_BYTES) {
    throw new KmsError('CONFIG_INVALID', `a socket path needs at most ${PATH_LIMIT_BYTES} bytes`, { sizeBytes });
  }
  const folder = dirname(socketPath);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(folder);
  if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
    throw new KmsError('STATE_INVALID', `${folder} must belong to this user with mode 0700: chmod 700 it`);
  }
  if (await answers(socketPath)) throw new KmsError('UNAVAILABLE', `another process listens on ${socketPath}`);
  await unlink(socketPath).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  });
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (answer: boolean): void => {
      probe.destroy();
      resolve(answer);
    };
    probe.once('connect', () => settle(true));
    probe.once('error', () => settle(false));
  });
}
