/**
 * Who may have a request at the engine of a threshold node. There a request may wait a minute for other parties, and the
 * engine reads no further calls once it has too many: requests that wait must never keep it from hearing others.
 *
 * First come, first served. Those that have waited before stand in a line of their own, which has a part of the room and
 * never more: whoever asks one party alone delays himself.
 */

/** Most that may be at the engine: well below what it takes before it reads no more. */
export interface TurnLimits {
  readonly calls: number;
  readonly bytes: number;
  /** Most of both for requests that have waited before, as one part of so many. */
  readonly againPart: number;
}

/** See enclave/engine.ts: it takes 4,096 calls and 256 MiB. */
export const DEFAULT_TURNS: TurnLimits = { calls: 3072, bytes: 160 * 1024 * 1024, againPart: 3 };

/** What a request waits in line with. */
export interface TurnRequest {
  readonly sizeBytes: number;
  /** It has been at the engine before, and its quorum was missing. */
  readonly again: boolean;
  readonly signal: AbortSignal;
}

/** The line before the engine. */
export interface Turns {
  /**
   * Resolves when it is this request's turn, with what ends the turn. A request larger than the bounds goes alone.
   *
   * Returns at once, without a promise, while there is room. A signal that aborts ends the wait: the turn is granted,
   * for the caller to find out that all has stopped.
   */
  take(request: TurnRequest): (() => void) | Promise<() => void>;
  /** Requests that wait for their turn. */
  readonly waiting: number;
}

interface Class {
  readonly calls: number;
  readonly bytes: number;
  readonly line: Set<{ readonly sizeBytes: number; readonly enter: () => void }>;
  heldCalls: number;
  heldBytes: number;
}

/** Opens a line. */
export function openTurns({ calls, bytes, againPart }: TurnLimits = DEFAULT_TURNS): Turns {
  const open = (part: number): Class => ({
    calls: Math.max(1, Math.floor(calls / part)),
    bytes: bytes / part,
    line: new Set(),
    heldCalls: 0,
    heldBytes: 0,
  });
  const all = open(1);
  const again = open(againPart);

  const fits = (of: Class, sizeBytes: number): boolean =>
    of.heldCalls === 0 || (of.heldCalls < of.calls && of.heldBytes + sizeBytes <= of.bytes);
  const mayEnter = (isAgain: boolean, sizeBytes: number): boolean =>
    fits(all, sizeBytes) && (!isAgain || fits(again, sizeBytes));
  const hold = (isAgain: boolean, sizeBytes: number, sign: 1 | -1): void => {
    for (const of of isAgain ? [all, again] : [all]) {
      of.heldCalls += sign;
      of.heldBytes += sign * sizeBytes;
    }
  };
  const admit = (): void => {
    for (const [{ line }, isAgain] of [
      [again, true],
      [all, false],
    ] as const) {
      for (const next of line) {
        if (!mayEnter(isAgain, next.sizeBytes)) break;
        line.delete(next);
        next.enter();
      }
    }
  };
  const enter = (isAgain: boolean, sizeBytes: number): (() => void) => {
    hold(isAgain, sizeBytes, 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      hold(isAgain, sizeBytes, -1);
      admit();
    };
  };

  return {
    take({ sizeBytes, again: isAgain, signal }) {
      const { line } = isAgain ? again : all;
      if (signal.aborted || (line.size === 0 && mayEnter(isAgain, sizeBytes))) return enter(isAgain, sizeBytes);
      return new Promise((resolve) => {
        const go = (): void => {
          signal.removeEventListener('abort', stop);
          resolve(enter(isAgain, sizeBytes));
        };
        const waiter = { sizeBytes, enter: go };
        const stop = (): void => {
          line.delete(waiter);
          go();
        };
        signal.addEventListener('abort', stop, { once: true });
        line.add(waiter);
      });
    },
    get waiting() {
      return all.line.size + again.line.size;
    },
  };
}
