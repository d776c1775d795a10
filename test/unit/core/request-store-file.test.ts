/** The file of a request store: writes that fail, older files, files that cannot be used. */
import { writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { MIGRATIONS, openDatabase } from '../../../parent/core/store/database.ts';
import type { Outcome } from '../../../parent/core/store/request-store.ts';
import { open, request } from './open-request-store.ts';
import { idOf } from './requests.ts';
import { storeFile } from './test-core.ts';

const DONE: Outcome = { state: 'done', response: Uint8Array.of(1, 2, 3) };
const BODY = Uint8Array.of(9, 9);

t.test('a write that fails harms no other of the same transaction', async (t) => {
  const faults: unknown[] = [];
  const store = open(t, storeFile(t), { onFault: (error) => faults.push(error) });
  const [a, b] = [store.begin(request('a')), store.begin(request('b'))];
  const unbindable = { state: 'done', response: {} as unknown as Uint8Array } as const;
  await Promise.all([store.settle(a, DONE), store.settle(b, unbindable)]);
  t.same(store.outcome(a), DONE);
  t.equal(faults.length, 1);
  t.same(store.outcome(b), unbindable, 'the outcome that could not be written is kept in memory');
});

t.test('says what to do about a file that it cannot use', async (t) => {
  const newer = storeFile(t);
  openDatabase(newer, [...MIGRATIONS, (db) => db.exec('CREATE TABLE later (x)')]).close();
  t.throws(() => open(t, newer), { code: 'STATE_INVALID', message: /format version 2, this program reads up to 1/ });

  const foreign = storeFile(t);
  const db = new DatabaseSync(foreign);
  db.exec('CREATE TABLE mine (x)');
  db.close();
  t.throws(() => open(t, foreign), { code: 'STATE_INVALID', message: /not a request store of arca/ });

  const text = storeFile(t);
  writeFileSync(text, 'this is no database, '.repeat(100));
  t.throws(() => open(t, text), { code: 'STATE_INVALID', message: /damaged or no database/ });

  const busy = storeFile(t);
  open(t, busy);
  t.throws(() => open(t, busy), { code: 'STATE_INVALID', message: /in use by another process/ });

  t.throws(() => open(t, '/nonexistent/folder/core.sqlite'), { code: 'STATE_INVALID', message: /cannot be opened/ });
});

t.test('brings an older file up to date, and keeps what is in it', async (t) => {
  const file = storeFile(t);
  const store = open(t, file);
  await store.settle(store.begin(request('a')), DONE);
  store.close();
  const addColumn = (db: DatabaseSync): void => db.exec("ALTER TABLE request ADD COLUMN note TEXT DEFAULT 'none'");
  const db = openDatabase(file, [...MIGRATIONS, addColumn]);
  t.same({ ...db.prepare('SELECT id, note FROM request').get() }, { id: idOf('a'), note: 'none' });
  t.equal(db.prepare('PRAGMA user_version').get()?.user_version, 2);
  db.close();
});

t.test('refuses a file with one request twice or of an unknown kind', async (t) => {
  for (const sql of [
    'INSERT INTO request SELECT 99, kind, id, digest, state, response, error_code, error_reason, context_id, epoch_id, insecure, aborting, consumed_by, created_ms, settled_ms FROM request',
    "UPDATE request SET kind = 'other'",
  ]) {
    const file = storeFile(t);
    const store = open(t, file);
    await store.settle(store.begin(request('a')), DONE);
    store.close();
    const db = openDatabase(file);
    db.exec(sql);
    db.close();
    t.throws(() => open(t, file), { code: 'STATE_INVALID' }, sql.slice(0, 6));
  }
});

t.test('rejects writes after it is closed, instead of breaking the process', async (t) => {
  const store = open(t, storeFile(t));
  const entry = store.begin(request('a'));
  store.close();
  await t.rejects(store.acknowledge(entry, BODY), KmsError);
});
