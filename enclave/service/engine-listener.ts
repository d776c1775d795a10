/**
 * How callers reach the engine: the one seam between the engine's service and its transport.
 *
 * A listener decides who may connect and hands over byte streams; it knows nothing of calls. The Unix socket of
 * developer mode is one, the attested mesh will be another.
 */
import type { Duplex } from 'node:stream';

/** One accepted caller. The service owns the stream and destroys it. */
export interface EngineLink {
  readonly stream: Duplex;
  /** For logs: which transport, never anything the peer said. */
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
  /** Stops accepting and frees the address. Links that were handed over stay open. */
  close(): Promise<void>;
}
