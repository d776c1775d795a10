/**
 * Runs key and CRS generations on the engine and stores what came of them.
 *
 * A generation is never repeated by itself: when its outcome is unknown the engine is asked whether it had committed.
 */
import { isKmsError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import type { EngineProgress } from '../engine-client/engine-client.ts';
import type { Permit } from '../limits/rate-limiter.ts';
import type { Operation } from '../metrics/core-metrics.ts';
import type { GenerationOutcome, GenerationRun } from '../objects/generations.ts';
import type { Outcome, RequestEntry } from '../store/request-store.ts';
import { ABORTED, failure } from './background.ts';
import type { RpcDeps } from './deps.ts';
import type { RunningJobs } from './running-jobs.ts';

/** A generation to run. */
export interface GenerationJob {
  readonly entry: RequestEntry;
  /** Method and body of the engine's call. */
  readonly call: Pick<GenerationRun, 'method' | 'body'>;
  readonly permit: Permit;
  /** Under which name it is counted. */
  readonly operation: Operation | undefined;
}

/** Runs a generation to its end. Never rejects. */
export async function runGeneration(
  deps: RpcDeps & { readonly jobs: RunningJobs },
  { entry, call, permit, operation }: GenerationJob,
): Promise<void> {
  const { generations, jobs, store, metrics, log, clock } = deps;
  const { kind, id, epochId } = entry;
  const startedMs = clock.monotonicMs();
  log.info({ event: `${kind}.started`, requestId: id, epochId });
  if (operation) metrics.operation(operation);
  try {
    await jobs.run(entry, async (signal) => {
      const onProgress = logPhases(log, entry);
      const response = await generations.run({ ...call, id, epochId, signal, onProgress });
      await store.settle(entry, { state: 'done', response });
    });
    log.info({ event: `${kind}.done`, requestId: id, ms: Math.round(clock.monotonicMs() - startedMs) });
  } catch (error) {
    if (deps.stopping.aborted) return; // the next start asks the engine what became of it
    if (operation) metrics.error(operation, error);
    await store.settle(entry, failure(deps, error, entry));
  } finally {
    if (operation) metrics.observeMs(operation, clock.monotonicMs() - startedMs);
    permit.release();
  }
}

/** Logs each phase of a generation as it begins. */
function logPhases(log: Logger, { kind, id }: RequestEntry): (progress: EngineProgress) => void {
  let current: string | undefined;
  return ({ phase, fraction, estimated }) => {
    if (phase === current) return;
    current = phase;
    log.info({ event: `${kind}.phase`, requestId: id, phase, fraction, estimated });
  };
}

/** After a restart: asks the engine what became of a generation, and stores it. */
export async function settleInterrupted(deps: RpcDeps, entry: RequestEntry): Promise<void> {
  const { generations, engine, store, stopping, log } = deps;
  const kind = entry.kind === 'keygen' ? 'keygen' : 'crsgen';
  for (;;) {
    try {
      await engine.whenConnected(stopping);
      const outcome = await generations.settle(kind, entry.id);
      log.info({ event: `${kind}.recovered`, requestId: entry.id, state: outcome.state });
      await store.settle(entry, asOutcome(entry, outcome));
      return;
    } catch (error) {
      if (stopping.aborted || !isKmsError(error, 'UNAVAILABLE')) throw error;
    }
  }
}

function asOutcome(entry: RequestEntry, outcome: GenerationOutcome): Outcome {
  if (outcome.state === 'done') return { state: 'done', response: outcome.result };
  return entry.aborting ? ABORTED : { state: 'failed', code: 'TASK_FAILED', reason: outcome.reason };
}
