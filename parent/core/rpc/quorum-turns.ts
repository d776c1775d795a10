/**
 * Who may have a request at the engine of a threshold node. There a request may wait a minute for other parties, and the
 * engine reads no further calls once it has too many: requests that wait must never keep it from hearing others.
 *
 * First come, first served; whoever has been at the engine for long gives way. Those that have waited before stand in a
 * line of their own, which has a part of the room and never more: a client who asks one party alone delays himself.
 */
import type { Clock } from '../../../common/clock.ts';

/** Bounds of a line. */
export interface TurnLimits {
  /** Most that may be at the engine: well below what it takes before it reads no more. */
  readonly calls: number;
  readonly bytes: number;
  /** Most of both for requests that have waited before, as one part of so many. */
  readonly againPart: number;
}

/** See enclave/engine.ts: it takes 4,096 calls and 256 MiB. */
const DEFAULT_LIMITS: TurnLimits = { calls: 3072, bytes: 160 * 1024 * 1024, againPart: 3 };
/** How often those at the engine are looked at, while others stand in line. */
const LOOK_MS = 250;

/** What a request waits in line with. */
export interface TurnRequest {
  readonly sizeBytes: number;
  /** It has been at the engine before, and its quorum was missing. */
  readonly again: boolean;
  readonly signal: AbortSignal;
}

/** A request's stay at the engine. */
export interface Turn {
  /** Aborts when it is to give way. */
  readonly signal: AbortSignal;
  /** Lets the next ones in. May be called again. */
  end(): void;
}

/** The line before the engine. */
export interface Turns {
  /**
   * Resolves when it is this request's turn. A request larger than the bounds goes alone.
   *
   * Returns at once, without a promise, while there is room. A signal that aborts ends the wait: the turn is granted,
   * for the caller to find out that all has stopped.
   */
  take(request: TurnRequest): Turn | Promise<Turn>;
  /** Requests that wait for their turn. */
  readonly waiting: number;
}

/** What is held, all of it or by those that wait again, and who stands in line for it. */
interface Room {
  readonly calls: number;
  readonly bytes: number;
  readonly line: Set<{ readonly sizeBytes: number; readonly enter: () => void }>;
  heldCalls: number;
  heldBytes: number;
}

/**
 * Opens a line.
 *
 * @param longestMs - How long a request stays at the engine while others stand in line.
 */
export function openTurns(clock: Clock, longestMs: number, limits: TurnLimits = DEFAULT_LIMITS): Turns {
  const open = (part: number): Room => ({
    calls: Math.max(1, Math.floor(limits.calls / part)),
    bytes: limits.bytes / part,
    line: new Set(),
    heldCalls: 0,
    heldBytes: 0,
  });
  const all = open(1);
  const again = open(limits.againPart);
  /** Those at the engine, the longest there first. */
  const held = new Set<{ readonly isAgain: boolean; readonly sinceMs: number; readonly giveWay: AbortController }>();
  let look: NodeJS.Timeout | undefined;

  const mayEnter = (isAgain: boolean, sizeBytes: number): boolean =>
    fits(all, sizeBytes) && (!isAgain || fits(again, sizeBytes));
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
  const enter = (isAgain: boolean, sizeBytes: number): Turn => {
    const rooms = isAgain ? [all, again] : [all];
    const stay = { isAgain, sinceMs: clock.monotonicMs(), giveWay: new AbortController() };
    for (const room of rooms) hold(room, 1, sizeBytes);
    held.add(stay);
    return {
      signal: stay.giveWay.signal,
      end() {
        if (!held.delete(stay)) return;
        for (const room of rooms) hold(room, -1, -sizeBytes);
        admit();
      },
    };
  };
  /** Asks as many to give way as stand in line: any of them for fresh ones, their own kind for those that wait again. */
  const lookAround = (): void => {
    const beforeMs = clock.monotonicMs() - longestMs;
    const wanted = { fresh: all.line.size, again: again.line.size };
    for (const { isAgain, sinceMs, giveWay } of held) {
      if (sinceMs > beforeMs) break;
      if (giveWay.signal.aborted) continue;
      if (isAgain && wanted.again > 0) wanted.again--;
      else if (wanted.fresh > 0) wanted.fresh--;
      else continue;
      giveWay.abort();
    }
    if (all.line.size + again.line.size > 0) return;
    clearInterval(look);
    look = undefined;
  };

  return {
    take({ sizeBytes, again: isAgain, signal }) {
      const { line } = isAgain ? again : all;
      if (signal.aborted || (line.size === 0 && mayEnter(isAgain, sizeBytes))) return enter(isAgain, sizeBytes);
      look ??= setInterval(lookAround, LOOK_MS).unref();
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

function fits({ calls, bytes, heldCalls, heldBytes }: Room, sizeBytes: number): boolean {
  return heldCalls === 0 || (heldCalls < calls && heldBytes + sizeBytes <= bytes);
}

function hold(room: Room, calls: number, bytes: number): void {
  room.heldCalls += calls;
  room.heldBytes += bytes;
}
