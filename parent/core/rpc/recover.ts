/**
 * After a restart: what was acknowledged and not finished is done again, or its end is found out.
 *
 * Decryptions and preprocessings run again from their stored bodies. Generations do not: the engine says whether it
 * had committed them. Keys and CRSs that only the engine knows of get their results back. Spec: kms-service 1.5, 1.7.
 */
import { ENGINE_METHOD, type EngineMethod } from '../../../wire/frames.ts';
import type { RequestEntry, RequestKind } from '../store/request-store.ts';
import { ABORTED, type Background, INTERRUPTED } from './background.ts';
import { settleInterrupted } from './generation-runner.ts';
import { EMPTY } from './method.ts';
import { type QuorumMpcDeps, settleInterruptedEpoch } from './quorum-epochs.ts';

const NO_PERMIT = { release: () => undefined };

const REPEATABLE: readonly (readonly [RequestKind, EngineMethod])[] = [
  ['public_decrypt', ENGINE_METHOD.publicDecrypt],
  ['user_decrypt', ENGINE_METHOD.userDecrypt],
  ['preproc', ENGINE_METHOD.keyGenPreproc],
];

/** Bodies read from the disk at a time; a threshold node reads each when its turn comes. */
const AT_ONCE = 64;

/**
 * Notes what the last run left, before any request of this one, and returns what takes it up.
 *
 * Call it before the node listens: a generation that a client starts while the last run is being taken up is under
 * way, not interrupted.
 *
 * @returns Needs the engine, and waits for it. Resolves when interrupted generations are settled and all else has begun
 * again; rejects when the node stops.
 */
export function prepareRecovery(deps: RecoveryDeps): () => Promise<void> {
  const running = (kind: RequestKind): RequestEntry[] =>
    [...deps.store.entries(kind)].filter(({ state, acknowledged }) => state === 'running' && acknowledged);
  const interrupted: Interrupted = {
    generations: [...running('keygen'), ...running('crsgen')],
    repeated: REPEATABLE.flatMap(([kind, method]) => running(kind).map((entry) => ({ entry, method }))),
    recorded: [...running('context'), ...running('epoch')],
  };
  return () => recover(deps, interrupted);
}

/** What taking up the last run needs beside the common things. */
export interface RecoveryDeps extends QuorumMpcDeps {
  readonly background: Background;
}

interface Interrupted {
  readonly generations: readonly RequestEntry[];
  readonly repeated: readonly { readonly entry: RequestEntry; readonly method: EngineMethod }[];
  /** Contexts and epochs: done but for their record on a centralized node. */
  readonly recorded: readonly RequestEntry[];
}

async function recover(deps: RecoveryDeps, { generations, repeated, recorded }: Interrupted): Promise<void> {
  const { store, engine, stopping, log, threshold } = deps;
  if (!threshold) for (const entry of recorded) await store.settle(entry, { state: 'done', response: EMPTY });
  log.info({ event: 'core.recovering', generations: generations.length, repeated: repeated.length });
  await engine.whenConnected(stopping);
  if (threshold) for (const entry of recorded) await settleInterruptedEpoch(deps, entry);
  for (const entry of generations) await settleInterrupted(deps, entry);

  // The node serves meanwhile: whoever asks for one of these waits for it.
  repeatAll(deps, repeated).then(
    () => log.info({ event: 'core.recovered' }),
    (error: unknown) => {
      if (!stopping.aborted) log.error({ event: 'core.recovery_failed', err: error });
    },
  );
}

async function repeatAll(deps: RecoveryDeps, repeated: Interrupted['repeated']): Promise<void> {
  const next = repeated.values();
  const worker = async (): Promise<void> => {
    for (const { entry, method } of next) await runAgain(deps, entry, method);
  };
  // Those of a quorum may wait minutes for other parties, and must not keep the rest from being asked for.
  await Promise.all(Array.from({ length: deps.threshold ? repeated.length : AT_ONCE }, worker));
}

async function runAgain(
  { store, background, threshold }: RecoveryDeps,
  entry: RequestEntry,
  method: EngineMethod,
): Promise<void> {
  if (entry.aborting) return store.settle(entry, ABORTED);
  const work = { entry, method, permit: NO_PERMIT };
  if (threshold) {
    await background.run(work);
    return;
  }
  const body = store.body(entry);
  if (body) await background.run({ ...work, body });
  else await store.settle(entry, INTERRUPTED);
}
