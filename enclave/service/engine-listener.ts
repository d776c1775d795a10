/**
 * How callers reach the engine: the one seam between the engine's service and its transport.
 *
 * A listener decides who may connect and hands over byte streams; it knows nothing of calls. The engine has one, the
 * attested mesh (`enclave/mesh/mesh-listener.ts`).
 */
import type { Duplex } from 'node:stream';

/** One accepted caller. The service owns the stream and destroys it. */
export interface EngineLink {
  readonly stream: Duplex;
  /** For logs: who was verified and over which transport, never anything else that the peer said. */
  readonly peer: string;
}

/** Accepts callers. */
export interface EngineListener {
  /**
   * Starts to accept.
   *
   * @throws KmsError `UNAVAILABLE` or `STATE_INVALID` if it cannot listen where it was told to.
   */
  listen(onLink: (link: EngineLink) => void): Promise<void>;
  /** Stops accepting, frees the address and ends what links are left. */
  close(): Promise<void>;
}
