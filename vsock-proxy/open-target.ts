/**
 * Opens the other end of a relayed connection.
 */
import { connect, type Socket } from 'node:net';
import { KmsError, systemErrorCode } from '../common/errors.ts';
import type { EndPoint } from './end-point.ts';
import type { ParentVsock } from './parent-vsock.ts';

/** A peer that has gone is noticed although nothing is sent. */
const TCP = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000, allowHalfOpen: true } as const;

/**
 * Connects to a target. Names are resolved by this machine.
 *
 * @throws {@link KmsError} `UNAVAILABLE` if it cannot be reached, also when the signal fires first.
 */
export async function openTarget(
  target: Exclude<EndPoint, { kind: 'connect' }>,
  vsock: ParentVsock,
  signal: AbortSignal,
): Promise<Socket> {
  if (target.kind === 'vsock') return await vsock.connect(target.port, signal, { allowHalfOpen: true });
  signal.throwIfAborted();
  const socket =
    target.kind === 'tcp'
      ? connect({ host: target.host, port: target.port, ...TCP })
      : connect({ path: target.path, allowHalfOpen: true });
  // What comes before the two ends are joined is left to the kernel.
  socket.pause();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  socket.once('connect', resolve).on('error', reject);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    const errno = systemErrorCode(error) ?? 'none';
    throw new KmsError('UNAVAILABLE', 'the target cannot be reached', { errno }, error);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  return socket;
}
