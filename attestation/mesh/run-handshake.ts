/**
 * Both ways into the mesh have this body: own leaf, TLS, handshake, one deadline over all, one log line for a refusal.
 */
import type { Duplex } from 'node:stream';
import type { SecureContext, TLSSocket } from 'node:tls';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { type HandshakeDeps, handshake, toKmsError } from './handshake.ts';
import type { MeshConnection } from './mesh-context.ts';
import { refuse } from './reasons.ts';
import { logRefusal } from './refusal-log.ts';

/** What {@link runHandshake} takes. */
export interface RunDeps extends Omit<HandshakeDeps, 'socket' | 'leaf'> {
  readonly raw: Duplex;
  readonly tls: (raw: Duplex, secureContext: SecureContext, signal: AbortSignal) => Promise<TLSSocket>;
}

/**
 * Runs TLS and the handshake on a raw stream.
 *
 * @throws KmsError The refusal, which has been logged as `mesh.refused`, or `CANCELLED`; the raw stream is destroyed.
 */
export async function runHandshake({ raw, tls, ...deps }: RunDeps): Promise<MeshConnection> {
  const { endpoint, side, expect } = deps;
  const deadline = AbortSignal.timeout(endpoint.limits.handshakeTimeoutMs);
  const signal = AbortSignal.any([deps.signal, deadline]);
  const swallow = (): void => {};
  raw.on('error', swallow);
  try {
    const leaf = await endpoint.leaf();
    const socket = await tls(raw, leaf.secureContext, signal);
    return await handshake({ ...deps, signal, socket, leaf });
  } catch (error) {
    raw.destroy();
    const failure = reasonOf(error, deadline, deps.signal);
    // One that was given up has refused nobody: whoever gave it up has said why.
    if (failure.code !== 'CANCELLED') logRefusal(endpoint, side, expect.service, failure);
    throw failure;
  }
}

/** Which of the two signals fired, if one did, says more than how the stream then failed. */
function reasonOf(error: unknown, deadline: AbortSignal, given: AbortSignal): KmsError {
  if (isKmsError(error) && error.facts.reasons !== undefined && error.facts.reasons !== 'deadline') return error;
  if (given.aborted && isKmsError(given.reason)) return given.reason;
  if (given.aborted && !isTimeout(given.reason)) return new KmsError('CANCELLED', 'the handshake was cancelled');
  if (given.aborted || deadline.aborted) return refuse('deadline', 'the handshake took too long');
  return toKmsError(error);
}

const isTimeout = (reason: unknown): boolean => reason instanceof DOMException && reason.name === 'TimeoutError';
