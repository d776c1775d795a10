/**
 * Work on the engine that may simply be done again: decryptions and the signing of preprocessings.
 *
 * What was acknowledged is done, whatever happens to the engine meanwhile; what was not fails with the engine.
 */
import { isKmsError, KmsError } from '../../../common/errors.ts';
import type { EngineMethod } from '../../../wire/frames.ts';
import type { Permit } from '../limits/rate-limiter.ts';
import { pause } from '../pause.ts';
import type { Outcome, RequestEntry } from '../store/request-store.ts';
import type { RpcDeps } from './deps.ts';
import { openTurns, type Turns } from './quorum-turns.ts';

/** A request that stopped the engine this often is the reason why it stops. */
const MAX_ATTEMPTS = 3;

const NO_BODY = new Uint8Array(0);

/** One piece of repeatable work. */
export interface Work {
  readonly entry: RequestEntry;
  readonly method: EngineMethod;
  /** The request as the client sent it; on a threshold node it is read from the store, when its turn comes, if absent. */
  readonly body?: Uint8Array;
  /** Given back when the work has ended. */
  readonly permit: Permit;
  /** Called when nobody reads the body any more; not after a failure, when the link may still hold it. */
  readonly releaseBody?: () => void;
  /** Cancels it. */
  readonly signal?: AbortSignal;
}

/** Runs repeatable work and stores its outcome. */
export interface Background {
  /**
   * Resolves with the outcome once it is stored.
   *
   * @throws What the engine threw, if the work was not acknowledged and may succeed later; nothing is stored then.
   * CANCELLED when the node stops: the next start does it again.
   */
  run(work: Work): Promise<Outcome>;
  /** Pieces of work under way. */
  readonly running: number;
  /** Those of them that stand in line before the engine; none on a centralized node. */
  readonly inLine: number;
  /** Bytes of requests that they hold. */
  readonly heldBytes: number;
}

/** Opens the runner. */
export function openBackground(deps: RpcDeps): Background {
  const turns = deps.threshold ? openTurns(deps.clock, deps.waits.turnMs) : undefined;
  let running = 0;
  let heldBytes = 0;
  return {
    async run(work) {
      const sizeBytes = work.body?.byteLength ?? 0;
      running++;
      heldBytes += sizeBytes;
      try {
        const outcome = await attempt(deps, work, turns);
        await deps.store.settle(work.entry, outcome);
        if (outcome.state === 'done') work.releaseBody?.();
        return outcome;
      } catch (error) {
        deps.store.drop(work.entry);
        throw error;
      } finally {
        running--;
        heldBytes -= sizeBytes;
        work.permit.release();
      }
    },
    get running() {
      return running;
    },
    get inLine() {
      return turns?.waiting ?? 0;
    },
    get heldBytes() {
      return heldBytes;
    },
  };
}

/** @param turns - The line before the engine of a threshold node. */
async function attempt(deps: RpcDeps, work: Work, turns: Turns | undefined): Promise<Outcome> {
  const { entry } = work;
  const { engine, stopping, clock, waits } = deps;
  for (let attempts = 1, again = false; ; ) {
    const startedMs = clock.monotonicMs();
    try {
      return { state: 'done', response: await callInTurn(deps, work, turns, again) };
    } catch (error) {
      if (stopping.aborted) throw error;
      const transient = isKmsError(error, 'UNAVAILABLE') || isKmsError(error, 'RESOURCE_EXHAUSTED');
      if (transient && !entry.acknowledged) throw error;
      // The engine remembers a request for longer than this store does, and two under one id would be told apart by none.
      if (turns && !entry.acknowledged && isKmsError(error, 'ALREADY_EXISTS')) throw error;
      if (transient && turns && waitsForOthers(error)) {
        // The engine has waited a minute for the others; it ends this itself, with a failure that is final.
        again = true;
        const restMs = waits.quorumMs - (clock.monotonicMs() - startedMs);
        if (restMs > 0) await pause(restMs, stopping);
        continue;
      }
      if (!transient || attempts >= MAX_ATTEMPTS) return failure(deps, error, entry);
      // Waiting for an engine that is away is free; each time it takes the request and goes away counts.
      const isThere = engine.state === 'connected';
      if (isThere || error.facts.reason === 'engine stopped') attempts++;
      if (isThere && turns) await pause(waits.quorumMs, stopping);
      await engine.whenConnected(stopping);
    }
  }
}

/** Calls the engine, on a threshold node in turn. */
async function callInTurn(
  { engine, store, engineTimeoutMs: timeoutMs, stopping }: RpcDeps,
  { entry, method, body = NO_BODY, signal }: Work,
  turns: Turns | undefined,
  again: boolean,
): Promise<Uint8Array> {
  if (!turns) return await engine.call(method, body, { signal, timeoutMs });
  const sizeBytes = body === NO_BODY ? store.bodyBytes(entry) : body.byteLength;
  const granted = turns.take({ sizeBytes, again, signal: stopping });
  const turn = granted instanceof Promise ? await granted : granted;
  try {
    const ends = signal ? AbortSignal.any([signal, turn.signal]) : turn.signal;
    const sent = body === NO_BODY ? store.body(entry) : body;
    if (!sent) throw new KmsError(INTERRUPTED.code, INTERRUPTED.reason);
    return await engine.call(method, sent, { signal: ends, timeoutMs });
  } catch (error) {
    if (!turn.signal.aborted || signal?.aborted) throw error;
    throw new KmsError('UNAVAILABLE', 'not done yet, and others stand in line', { waiting: 'quorum' });
  } finally {
    turn.end();
  }
}

/** Whether too few parties have been asked yet, or too many requests wait for that: this one is as good as before. */
function waitsForOthers({ code, facts }: KmsError): boolean {
  return facts.waiting === 'quorum' || code === 'RESOURCE_EXHAUSTED';
}

/** Describes a failure for the store; what is not one of ours is logged and says nothing about itself. */
export function failure({ log, threshold }: RpcDeps, error: unknown, entry: RequestEntry): Outcome {
  const { kind, id } = entry;
  if (!isKmsError(error)) {
    log.error({ event: `${kind}.failed`, requestId: id, err: error });
    return { state: 'failed', code: 'INTERNAL', reason: 'internal error' };
  }
  const { code, message: reason } = error;
  log.info({ event: `${kind}.failed`, requestId: id, code, reason });
  const aborted = code === 'ABORTED' && !threshold;
  if (aborted || code === 'CANCELLED' || entry.aborting) return ABORTED;
  // Of a quorum, a protocol may have given up: told as an abort only where its text speaks of one, as published.
  return { state: 'failed', code: code === 'ABORTED' && !/abort/i.test(reason) ? 'TASK_FAILED' : code, reason };
}

/** The outcome of what cannot be done again, since its body is gone. */
export const INTERRUPTED = {
  state: 'failed',
  code: 'TASK_FAILED',
  reason: 'interrupted by a restart',
} as const satisfies Outcome;
/** The outcome of what a client aborted. */
export const ABORTED: Outcome = { state: 'failed', code: 'ABORTED', reason: 'aborted by request' };
