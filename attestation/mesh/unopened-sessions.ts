/** Sessions of a link that only the peer has opened: they wait here, within bounds, until this side opens them, too. */
import { KmsError } from '../../common/errors.ts';
import type { FrameChannel } from './frame-channel.ts';
import type { InFlow } from './frame-flows.ts';

/** A session's direction from the peer, and the connection that it came on. */
export interface Arrived {
  readonly flow: InFlow;
  readonly channel: FrameChannel;
}

/** Bounds of what waits. */
export interface UnopenedLimits {
  readonly most: number;
  readonly waitMs: number;
  readonly nowMs: () => number;
}

/** See the file comment. */
export class UnopenedSessions {
  readonly #limits: UnopenedLimits;
  readonly #waiting = new Map<string, Arrived & { readonly sinceMs: number }>();

  constructor(limits: UnopenedLimits) {
    this.#limits = limits;
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Keeps a session that the peer opened, or refuses it at the limit. One that waits begins again on another connection.
   *
   * @returns Whether it is kept.
   * @throws KmsError `REQUEST_INVALID` for one that was opened twice on one connection.
   */
  put({ flow, channel }: Arrived): boolean {
    const before = this.#waiting.get(flow.sessionId);
    if (before?.channel === channel) throw new KmsError('REQUEST_INVALID', 'a session was opened twice');
    before?.flow.stop();
    this.#waiting.delete(flow.sessionId);
    if (this.#waiting.size >= this.#limits.most) {
      flow.stop();
      return false;
    }
    this.#waiting.set(flow.sessionId, { flow, channel, sinceMs: this.#limits.nowMs() });
    return true;
  }

  /** Hands out a session that waits. */
  take(id: string): Arrived | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  /** Refuses those that have waited too long. */
  sweep(): void {
    const latestMs = this.#limits.nowMs() - this.#limits.waitMs;
    for (const [id, { flow, sinceMs }] of this.#waiting) {
      if (sinceMs > latestMs) break; // in the order of their arrival
      this.#waiting.delete(id);
      flow.stop();
    }
  }

  /** Forgets those whose connection has ended. */
  dropFailed(): void {
    for (const [id, { flow }] of this.#waiting) if (flow.failed) this.#waiting.delete(id);
  }
}
