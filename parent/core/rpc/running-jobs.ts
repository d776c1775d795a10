/**
 * Work that clients may abort: preprocessings and generations under way.
 */
import type { RequestEntry, RequestKind } from '../store/request-store.ts';

/** Jobs by kind and id. */
export interface RunningJobs {
  /** Runs a job, which ends early when its signal aborts. */
  run<T>(entry: RequestEntry, job: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Asks a job to stop, if there is one. */
  abort(kind: RequestKind, id: string): void;
}

/** Opens an empty list of jobs. */
export function openRunningJobs(): RunningJobs {
  const jobs = new Map<string, AbortController>();
  const keyOf = (kind: RequestKind, id: string): string => `${kind}/${id}`;

  return {
    async run(entry, job) {
      const abort = new AbortController();
      const key = keyOf(entry.kind, entry.id);
      jobs.set(key, abort);
      try {
        return await job(abort.signal);
      } finally {
        jobs.delete(key);
      }
    },
    abort: (kind, id) => jobs.get(keyOf(kind, id))?.abort(),
  };
}
