/**
 * Remembers digests of large files by size, time and inode, so that a restart does not read half a gigabyte again.
 *
 * A cache and nothing more: losing it costs time. Whoever may write this folder may write the objects too, so it
 * protects against accidents, not against the operator; clients check the engine's signature over the digests.
 */
import { DatabaseSync } from 'node:sqlite';

/** What a file looked like when its digest was taken: size, modification time and inode. */
export type Fingerprint = string;

/** Digests by object name. */
export interface DigestCache {
  /** Returns the digest (hex) if the object still looks as it did, else undefined. */
  get(type: string, id: string, fingerprint: Fingerprint): string | undefined;
  set(type: string, id: string, fingerprint: Fingerprint, digest: string): void;
  forget(type: string, id: string): void;
  close(): void;
}

const VERSION = 1;

/** Opens the cache file, making a fresh one where there is none or an unreadable or foreign one. */
export function openDigestCache(file: string): DigestCache {
  const db = new DatabaseSync(file);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 2000');
  if (db.prepare('PRAGMA user_version').get()?.user_version !== VERSION) {
    db.exec(`DROP TABLE IF EXISTS public_object;
      CREATE TABLE public_object (
        type TEXT NOT NULL, id TEXT NOT NULL, fingerprint TEXT NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (type, id)) STRICT, WITHOUT ROWID;
      PRAGMA user_version = ${VERSION}`);
  }
  const find = db.prepare('SELECT digest FROM public_object WHERE type = ? AND id = ? AND fingerprint = ?');
  const put = db.prepare('INSERT OR REPLACE INTO public_object (type, id, fingerprint, digest) VALUES (?, ?, ?, ?)');
  const remove = db.prepare('DELETE FROM public_object WHERE type = ? AND id = ?');
  return {
    get: (type, id, fingerprint) => {
      const digest = find.get(type, id, fingerprint)?.digest;
      return typeof digest === 'string' ? digest : undefined;
    },
    set: (type, id, fingerprint, digest) => void put.run(type, id, fingerprint, digest),
    forget: (type, id) => void remove.run(type, id),
    close: () => {
      if (db.isOpen) db.close();
    },
  };
}
