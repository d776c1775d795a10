/**
 * The request store's own view of an entry: what changes while a request runs, and who waits for its end.
 */
import type { NewRequest, Outcome, RequestEntry, RequestKind, RequestState } from './request-entry.ts';

/** An entry as the store alone may change it. */
export interface LiveEntry extends RequestEntry {
  state: RequestState;
  acknowledged: boolean;
  aborting: boolean;
  consumedBy: string | undefined;
  /** Whether SQLite has a row of it. */
  stored: boolean;
  settling: boolean;
  /** The outcome while SQLite does not have it. */
  outcome: Outcome | undefined;
  /** Absent while nobody waits, as for nearly all: there are thousands of entries. */
  waiters: (() => void)[] | undefined;
}

/** Returns the entry of a request that begins. Its fields stand side by side, for the same reason. */
export function newEntry(request: NewRequest, seq: number, createdMs: number): LiveEntry {
  const { kind, id, digest, contextId, epochId, insecure = false } = request;
  return {
    kind,
    id,
    digest,
    contextId,
    epochId,
    insecure,
    seq,
    state: 'running',
    acknowledged: false,
    aborting: false,
    consumedBy: undefined,
    createdMs,
    stored: false,
    settling: false,
    outcome: undefined,
    waiters: undefined,
  };
}

/** Whether a failed request of this kind may run again under its id: what made something may not. */
export function runsAgain(kind: RequestKind): boolean {
  return kind === 'public_decrypt' || kind === 'user_decrypt';
}

/** Makes a failed entry one that runs. */
export function runAgain(entry: LiveEntry): void {
  entry.state = 'running';
  entry.acknowledged = false;
  entry.outcome = undefined;
  entry.settling = false;
}

/** Tells all who wait. */
export function wake(entry: LiveEntry): void {
  const { waiters = [] } = entry;
  entry.waiters = undefined;
  for (const resolve of waiters) resolve();
}
