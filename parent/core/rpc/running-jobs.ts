/**
 * Work that clients may abort: preprocessings and generations under way.
 */
import type { EngineProgress } from '../engine-client/engine-client.ts';
import type { RequestEntry, RequestKind } from '../store/request-store.ts';

/** A generation under way, for people who wait for it. */
export interface JobProgress extends EngineProgress {
  readonly kind: RequestKind;
  readonly id: string;
}

/** Jobs by kind and id. */
export interface RunningJobs {
  /** Runs a job. `report` may be called with its progress. */
  run<T>(
    entry: RequestEntry,
    job: (signal: AbortSignal, report: (progress: EngineProgress) => void) => Promise<T>,
  ): Promise<T>;
  /** Asks a job to stop, if there is one. */
  abort(kind: RequestKind, id: string): void;
  /** What is known of the jobs under way. */
  progress(): JobProgress[];
}

interface Job {
  readonly entry: RequestEntry;
  readonly abort: AbortController;
  progress: EngineProgress | undefined;
}

/** Opens an empty list of jobs. */
export function openRunningJobs(): RunningJobs {
  const jobs = new Map<string, Job>();
  const keyOf = (kind: RequestKind, id: string): string => `${kind}/${id}`;

  return {
    async run(entry, run) {
      const abort = new AbortController();
      const job: Job = { entry, abort, progress: undefined };
      const key = keyOf(entry.kind, entry.id);
      jobs.set(key, job);
      try {
        return await run(abort.signal, (progress) => {
          job.progress = progress;
        });
      } finally {
        jobs.delete(key);
      }
    },
    abort: (kind, id) => jobs.get(keyOf(kind, id))?.abort.abort(),
    progress: () =>
      [...jobs.values()].flatMap(({ entry: { kind, id }, progress }) => (progress ? [{ kind, id, ...progress }] : [])),
  };
}
