/**
 * Opens the Core's SQLite file: who made it, in which format version, and brings an older one up to date.
 *
 * The file holds request ids, digests, answers and unfinished requests: nothing that the operator may not see.
 */
import { DatabaseSync } from 'node:sqlite';
import { KmsError } from '../../../common/errors.ts';

/** `ARCA`, so that a file of another program is not taken for ours. */
const APPLICATION_ID = 0x41524341;

/** Brings a database from the version of its index to the next one. */
export type Migration = (db: DatabaseSync) => void;

const CREATE: Migration = (db) =>
  db.exec(`
    CREATE TABLE request (
      seq INTEGER PRIMARY KEY,
      kind TEXT NOT NULL,
      id TEXT NOT NULL,
      digest TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'deleted')),
      response BLOB,
      error_code TEXT,
      error_reason TEXT,
      context_id TEXT NOT NULL,
      epoch_id TEXT NOT NULL,
      insecure INTEGER NOT NULL,
      aborting INTEGER NOT NULL,
      consumed_by TEXT,
      created_ms INTEGER NOT NULL,
      settled_ms INTEGER
    ) STRICT;
    CREATE TABLE body (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
  `);

/** From an empty file to the version of today, one step each. */
export const MIGRATIONS: readonly Migration[] = [CREATE];

/**
 * Opens or makes the database, for this process alone.
 *
 * WAL with `synchronous = NORMAL`: a commit reaches the kernel before it returns, so it survives SIGKILL of the
 * process at any moment; a power cut may lose the last ones. Writes that must survive that too say so and are
 * committed with `FULL` (see commit-queue.ts).
 *
 * @throws {@link KmsError} `STATE_INVALID` if it is not ours, newer than this program, damaged, or in use.
 */
export function openDatabase(file: string, migrations: readonly Migration[] = MIGRATIONS): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file);
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    // Checkpoints write to the database file and sync it: rarer ones, larger, cost less in all.
    db.exec('PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864');
    migrate(db, file, migrations);
    return db;
  } catch (error) {
    db?.close();
    throw explain(error, file);
  }
}

function migrate(db: DatabaseSync, file: string, migrations: readonly Migration[]): void {
  const version = pragma(db, 'user_version');
  const owner = pragma(db, 'application_id');
  const empty = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n === 0;
  if (version === 0 ? !empty : owner !== APPLICATION_ID) {
    throw new KmsError('STATE_INVALID', `${file} is not a request store of arca: move it away or name another folder`);
  }
  if (version > migrations.length) {
    throw new KmsError(
      'STATE_INVALID',
      `${file} has format version ${version}, this program reads up to ${migrations.length}: use the newer arca that wrote it`,
    );
  }
  for (const [index, step] of migrations.slice(version).entries()) {
    db.exec('BEGIN IMMEDIATE');
    step(db);
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${version + index + 1}; COMMIT`);
  }
}

function pragma(db: DatabaseSync, name: string): number {
  const value = db.prepare(`PRAGMA ${name}`).get()?.[name];
  return typeof value === 'number' ? value : 0;
}

/** Primary result codes of SQLite that have a cure. */
const BUSY = 5;
const CORRUPT = 11;
const CANTOPEN = 14;
const NOTADB = 26;
const FULL = 13;

/** Turns an error of SQLite into one that says what to do. */
export function explain(error: unknown, file: string): unknown {
  switch (sqliteCode(error)) {
    case BUSY:
      return new KmsError('STATE_INVALID', `${file} is in use by another process: stop that one first`, {}, error);
    case CORRUPT:
    case NOTADB:
      return new KmsError('STATE_INVALID', `${file} is damaged or no database: restore it or move it away`, {}, error);
    case CANTOPEN:
      return new KmsError(
        'STATE_INVALID',
        `${file} cannot be opened: check that its folder exists and is ours`,
        {},
        error,
      );
    case FULL:
      return new KmsError('STORAGE_FULL', `no space left to write ${file}`, {}, error);
    default:
      return error;
  }
}

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}
