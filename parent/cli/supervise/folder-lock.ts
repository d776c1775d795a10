/**
 * One process at a time on a state folder: an exclusive write lock on `lock.sqlite`, released by the kernel when
 * the holder dies, however it dies. The holder's process id stands in the file, so that others can name it.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { KmsError } from '../../../common/errors.ts';
import { failure } from '../framework/failure.ts';
import { STATE_FILES } from './state-folder.ts';

/** A lock that is held until released or until the process ends. */
export interface FolderLock {
  /** May be called twice. */
  release(): void;
}

const SQLITE_BUSY = 5;
const SQLITE_NOTADB = 26;

/**
 * Takes the lock of a folder, or fails at once.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` naming the process that holds it.
 */
export function acquireFolderLock(dir: string): FolderLock {
  const db = openLock(dir);
  try {
    db.exec('PRAGMA busy_timeout = 0; PRAGMA synchronous = OFF');
    db.exec('CREATE TABLE IF NOT EXISTS holder (pid INTEGER NOT NULL)');
    db.exec('BEGIN IMMEDIATE; DELETE FROM holder');
    db.prepare('INSERT INTO holder VALUES (?)').run(process.pid);
    // Readers may look at the holder while the next transaction keeps other writers out.
    db.exec('COMMIT; BEGIN IMMEDIATE');
  } catch (error) {
    const pid = sqliteCode(error) === SQLITE_BUSY ? readHolder(db) : undefined;
    db.close();
    throw refusal(dir, pid, error);
  }
  return {
    release: () => {
      if (db.isOpen) db.close();
    },
  };
}

/** Returns the process id that holds the folder, `undefined` if nobody does. */
export function findLockHolder(dir: string): number | undefined {
  try {
    acquireFolderLock(dir).release();
    return undefined;
  } catch (error) {
    if (error instanceof KmsError && typeof error.facts.pid === 'number') return error.facts.pid;
    throw error;
  }
}

function openLock(dir: string): DatabaseSync {
  try {
    return new DatabaseSync(join(dir, STATE_FILES.lock));
  } catch (error) {
    throw failure('STATE_INVALID', `cannot open the lock of ${dir}`, 'check its owner and mode', { dir }, error);
  }
}

function readHolder(db: DatabaseSync): number {
  try {
    const pid = db.prepare('SELECT pid FROM holder').get()?.pid;
    return typeof pid === 'number' ? pid : 0;
  } catch {
    return 0; // the holder is writing its id this very moment
  }
}

function refusal(dir: string, pid: number | undefined, cause: unknown): KmsError {
  if (pid !== undefined) {
    const holder = pid === 0 ? 'another process' : `process ${pid}`;
    const cure = `stop it${pid === 0 ? '' : ` (kill ${pid})`}, or choose another folder with --dir`;
    return failure('PRECONDITION_FAILED', `${dir} is in use by ${holder}`, cure, { dir, pid });
  }
  const what = sqliteCode(cause) === SQLITE_NOTADB ? 'is damaged' : 'cannot be taken';
  const cure = `if no arca runs there, remove ${join(dir, STATE_FILES.lock)}`;
  return failure('STATE_INVALID', `the lock of ${dir} ${what}`, cure, { dir }, cause);
}

function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined;
}
