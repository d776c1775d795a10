/**
 * How far the confirmation of a start is, and what that lets the engine do.
 */
import { KmsError } from '../../common/errors.ts';
import type { StartGate } from './start-gate.ts';

/** How far it is. Names are shown to operators. */
export type StartPhase =
  /** Not enough parties have acknowledged it yet. */
  | 'waiting'
  /** The engine serves. */
  | 'confirmed'
  /** Too many parties came out of backups: governance has to restart the quorum. */
  | 'quorum-restart'
  /** Governance has restarted the quorum: it must be reshared before anything else. */
  | 'reshare-due'
  /** Another party has shown that this vault was put back: the engine will never serve from it. */
  | 'rolled-back';

/** Whether a start waits for a quorum restart, or for the reshare after one: that may take governance days. */
export function awaitsGovernance(phase: StartPhase): boolean {
  return phase === 'quorum-restart' || phase === 'reshare-due';
}

/** See the file comment. Phases go forward only, but for `quorum-restart`, which ends when parties were confirmed. */
export class StartState implements StartGate {
  readonly #needed: () => number;
  #phase: StartPhase = 'waiting';
  #acknowledged = 0;
  #why: KmsError | undefined;
  readonly #waiting = new Set<() => void>();

  /** @param needed - How many parties have to acknowledge the start. */
  constructor(needed: () => number) {
    this.#needed = needed;
  }

  get phase(): StartPhase {
    return this.#phase;
  }

  get isOpen(): boolean {
    return this.#phase === 'confirmed';
  }

  /** Whether nothing can be done about it any more in this process. */
  get isOver(): boolean {
    return this.#phase === 'rolled-back';
  }

  /** So many parties have acknowledged the start by now. */
  counted(acknowledged: number, isBlocked: boolean): void {
    this.#acknowledged = acknowledged;
    if (this.#phase === 'waiting' || this.#phase === 'quorum-restart') {
      this.#phase = isBlocked ? 'quorum-restart' : 'waiting';
    }
  }

  /** The start is confirmed. */
  open(isReshareDue: boolean): void {
    if (this.isOver) return;
    this.#phase = isReshareDue ? 'reshare-due' : 'confirmed';
    if (!this.isOpen) return;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Another party has shown that the vault was put back. */
  fail(why: KmsError): void {
    this.#phase = 'rolled-back';
    this.#why = why;
  }

  /** Why the engine does not serve, for people; empty if it does. */
  get reason(): string {
    return this.isOpen ? '' : this.refusal().message;
  }

  /** What a call is refused with that came too early. */
  refusal(): KmsError {
    switch (this.#phase) {
      case 'rolled-back':
        return this.#why ?? new KmsError('STATE_INVALID', 'this vault was put back');
      case 'reshare-due': {
        const message = 'governance has restarted this quorum: its keys have to be reshared before anything else';
        return new KmsError('PRECONDITION_FAILED', message, { start: this.#phase });
      }
      case 'quorum-restart': {
        const message = 'more parties came out of backups than a quorum can forget: governance has to restart it';
        return new KmsError('PRECONDITION_FAILED', `${message} (arca quorum restart)`, { start: this.#phase });
      }
      default: {
        const needed = this.#needed();
        const message = `${this.#acknowledged} of ${needed} other parties have acknowledged this engine's start`;
        const facts = { start: this.#phase, acknowledged: this.#acknowledged, needed };
        return new KmsError('UNAVAILABLE', `the start is not confirmed yet: ${message}`, facts);
      }
    }
  }

  require(): void {
    if (!this.isOpen) throw this.refusal();
  }

  async opened(signal: AbortSignal): Promise<void> {
    if (this.isOpen) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const cancel = (): void => reject(new KmsError('CANCELLED', 'the engine is stopping'));
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel, { once: true });
    this.#waiting.add(resolve);
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal.removeEventListener('abort', cancel);
    }
  }
}
