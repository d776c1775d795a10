/**
 * Group commit: all writes of one turn of the event loop go into one transaction.
 *
 * Under load a transaction carries many requests and its cost is shared; alone, a write waits for the end of the turn.
 */
import type { DatabaseSync } from 'node:sqlite';
import { KmsError } from '../../../common/errors.ts';

interface Write {
  readonly run: () => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Collects writes and commits them together. */
export interface CommitQueue {
  /**
   * Adds a write to the next transaction.
   *
   * @param durable - Also survives a power cut: the transaction is synced to disk before it counts.
   * @returns Resolves when committed. Rejects if this write failed; others of the transaction are not harmed.
   */
  add(run: () => void, durable: boolean): Promise<void>;
  /** Commits now what has been added, and rejects what comes later. */
  close(): void;
}

/** Opens the queue of a database that nobody else writes. */
export function openCommitQueue(db: DatabaseSync): CommitQueue {
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  let writes: Write[] = [];
  let durable = false;
  let scheduled = false;
  let closed = false;

  function transaction(batch: readonly Write[]): void {
    begin.run();
    try {
      for (const write of batch) write.run();
      commit.run();
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  }

  function flush(): void {
    scheduled = false;
    const batch = writes;
    const synced = durable;
    writes = [];
    durable = false;
    if (batch.length === 0) return;
    if (synced) db.exec('PRAGMA synchronous = FULL');
    try {
      transaction(batch);
      for (const write of batch) write.resolve();
    } catch (error) {
      if (batch.length === 1) batch[0]?.reject(error);
      else for (const write of batch) commitAlone(write);
    } finally {
      if (synced) db.exec('PRAGMA synchronous = NORMAL');
    }
  }

  /** After a failure of all: one by one, so that only the bad one fails. */
  function commitAlone(write: Write): void {
    try {
      transaction([write]);
      write.resolve();
    } catch (error) {
      write.reject(error);
    }
  }

  return {
    add: (run, needsSync) =>
      new Promise((resolve, reject) => {
        if (closed) return reject(new KmsError('UNAVAILABLE', 'the request store is closed'));
        writes.push({ run, resolve, reject });
        durable ||= needsSync;
        if (scheduled) return;
        scheduled = true;
        setImmediate(flush);
      }),
    close() {
      flush();
      closed = true;
    },
  };
}
