/**
 * Rows of the request store: the statements, and what a row says. Only request-store.ts uses it.
 */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { isErrorCode, KmsError } from '../../../common/errors.ts';
import {
  type Outcome,
  REQUEST_KINDS,
  type RequestEntry,
  type RequestKind,
  type RequestState,
} from './request-entry.ts';

const STATES: readonly RequestState[] = ['running', 'done', 'failed', 'deleted'];

/** A row without its response and body. */
export type StoredEntry = Omit<RequestEntry, 'acknowledged'>;

/** Reads and writes rows; each call is one statement or two, inside of whatever transaction is open. */
export interface RequestTable {
  /** All rows: settled ones in the order in which they settled, then those that run, in the order they came. */
  readAll(): StoredEntry[];
  readOutcome(seq: number): Outcome | undefined;
  readBody(seq: number): Uint8Array | undefined;
  /** Size of a body, which is not read for it; 0 without one. */
  readBodyBytes(seq: number): number;
  /** Writes a whole row, new or in the place of the one there was. */
  put(entry: RequestEntry, outcome?: Outcome, settledMs?: number): void;
  putBody(seq: number, body: Uint8Array): void;
  removeBody(seq: number): void;
  remove(seq: number): void;
}

/** Prepares the statements. */
export function openRequestTable(db: DatabaseSync): RequestTable {
  const readAll = db.prepare(
    `SELECT seq, kind, id, digest, state, context_id, epoch_id, insecure, aborting, consumed_by, created_ms
     FROM request ORDER BY settled_ms IS NULL, settled_ms, seq`,
  );
  const readOutcome = db.prepare('SELECT state, response, error_code, error_reason FROM request WHERE seq = ?');
  const readBody = db.prepare('SELECT body FROM body WHERE seq = ?');
  const readBodyBytes = db.prepare('SELECT length(body) AS bytes FROM body WHERE seq = ?');
  const put = db.prepare(
    `INSERT OR REPLACE INTO request (seq, kind, id, digest, state, context_id, epoch_id, insecure, aborting, consumed_by,
       created_ms, response, error_code, error_reason, settled_ms)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const putBody = db.prepare('INSERT OR REPLACE INTO body (seq, body) VALUES (?, ?)');
  const removeBody = db.prepare('DELETE FROM body WHERE seq = ?');
  const remove = db.prepare('DELETE FROM request WHERE seq = ?');

  return {
    readAll: () => readAll.all().map(parseEntry),
    readOutcome: (seq) => parseOutcome(readOutcome.get(seq)),
    readBody: (seq) => {
      const body = readBody.get(seq)?.body;
      return body instanceof Uint8Array ? body : undefined;
    },
    readBodyBytes: (seq) => Number(readBodyBytes.get(seq)?.bytes ?? 0),
    put(entry, outcome, settledMs) {
      const failed = outcome?.state === 'failed' ? outcome : undefined;
      put.run(
        entry.seq,
        entry.kind,
        entry.id,
        entry.digest,
        entry.state,
        entry.contextId,
        entry.epochId,
        Number(entry.insecure),
        Number(entry.aborting),
        entry.consumedBy ?? null,
        entry.createdMs,
        outcome?.state === 'done' ? outcome.response : null,
        failed?.code ?? null,
        failed?.reason ?? null,
        settledMs ?? null,
      );
    },
    putBody: (seq, body) => void putBody.run(seq, body),
    removeBody: (seq) => void removeBody.run(seq),
    remove(seq) {
      remove.run(seq);
      removeBody.run(seq);
    },
  };
}

type Row = Readonly<Record<string, SQLOutputValue>>;

function parseEntry(row: Row): StoredEntry {
  const kind = REQUEST_KINDS.find((name) => name === row.kind);
  const state = STATES.find((name) => name === row.state);
  if (kind === undefined || state === undefined) {
    throw new KmsError(
      'STATE_INVALID',
      'the request store holds a row of a kind or state that this program does not know',
    );
  }
  return {
    kind: kind satisfies RequestKind,
    state,
    seq: Number(row.seq),
    id: String(row.id),
    digest: String(row.digest),
    contextId: String(row.context_id),
    epochId: String(row.epoch_id),
    insecure: row.insecure === 1,
    aborting: row.aborting === 1,
    consumedBy: typeof row.consumed_by === 'string' ? row.consumed_by : undefined,
    createdMs: Number(row.created_ms),
  };
}

function parseOutcome(row: Row | undefined): Outcome | undefined {
  if (row?.state === 'done') {
    return { state: 'done', response: row.response instanceof Uint8Array ? row.response : new Uint8Array(0) };
  }
  if (row?.state !== 'failed') return undefined;
  const code = String(row.error_code);
  return { state: 'failed', code: isErrorCode(code) ? code : 'INTERNAL', reason: String(row.error_reason) };
}
