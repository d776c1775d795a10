/**
 * The Core's memory of requests: an index in memory, outcomes and unfinished bodies in SQLite.
 *
 * Look-ups never touch the disk; only answers of finished requests are read from it. An acknowledged start and every
 * outcome are committed before anybody is told of them. The one owner of its file. Spec: kms-service 1.5.
 */
import type { DatabaseSync } from 'node:sqlite';
import { type Clock, systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { type CommitQueue, openCommitQueue } from './commit-queue.ts';
import { explain, openDatabase } from './database.ts';
import { KindIndex } from './kind-index.ts';
import { type LiveEntry, newEntry, runAgain, runsAgain, wake } from './live-entry.ts';
import type { NewRequest, Outcome, RequestEntry, RequestKind } from './request-entry.ts';
import { openRequestTable, type RequestTable } from './request-table.ts';
import { SharedNames } from './shared-names.ts';

export type { NewRequest, Outcome, RequestEntry, RequestKind, RequestState } from './request-entry.ts';

/** What a store is opened with. */
export interface RequestStoreOptions {
  readonly file: string;
  /** Most decryptions of one kind that are remembered. */
  readonly decCapacity: number;
  /** Finished decryptions of one kind that are never dropped to make room. */
  readonly minDecCache: number;
  readonly clock?: Clock;
  /** Told when an outcome could not be written: it is kept in memory, and made again after a restart. */
  readonly onFault?: (error: unknown, entry: RequestEntry) => void;
}

/** Requests, by kind and id. */
export class RequestStore {
  readonly #db: DatabaseSync;
  readonly #file: string;
  readonly #table: RequestTable;
  readonly #queue: CommitQueue;
  readonly #clock: Clock;
  readonly #onFault: (error: unknown, entry: RequestEntry) => void;
  readonly #names = new SharedNames();
  readonly #kinds: Readonly<Record<RequestKind, KindIndex<LiveEntry>>>;
  #nextSeq = 1;

  /**
   * Opens the store's file, or makes it.
   *
   * @throws {@link KmsError} `STATE_INVALID` if the file is foreign, newer, damaged or in use.
   */
  constructor({ file, decCapacity, minDecCache, clock = systemClock, onFault = () => undefined }: RequestStoreOptions) {
    this.#db = openDatabase(file);
    this.#file = file;
    this.#clock = clock;
    this.#onFault = onFault;
    this.#table = openRequestTable(this.#db);
    this.#queue = openCommitQueue(this.#db);
    const unlimited = Number.POSITIVE_INFINITY;
    this.#kinds = {
      preproc: new KindIndex(unlimited, 0),
      keygen: new KindIndex(unlimited, 0),
      crsgen: new KindIndex(unlimited, 0),
      public_decrypt: new KindIndex(decCapacity, minDecCache),
      user_decrypt: new KindIndex(decCapacity, minDecCache),
      context: new KindIndex(unlimited, 0),
      epoch: new KindIndex(unlimited, 0),
    };
    this.#load();
  }

  /** Finds a request. */
  find(kind: RequestKind, id: string): RequestEntry | undefined {
    return this.#kinds[kind].get(id);
  }

  /** All requests of a kind, in an order that stays. */
  entries(kind: RequestKind): Iterable<RequestEntry> {
    return this.#kinds[kind].values();
  }

  /** Requests of a kind: all, those that run, and how many may be remembered. */
  count(kind: RequestKind): { readonly total: number; readonly running: number; readonly capacity: number } {
    return this.#kinds[kind].count();
  }

  /**
   * Begins a request in memory; nothing is stored yet. A decryption that failed runs again under its id.
   *
   * @throws {@link KmsError} `ALREADY_EXISTS` otherwise if the id is known; `RESOURCE_EXHAUSTED` if the store is full of
   * requests that run or are too fresh to be dropped.
   */
  begin(request: NewRequest): RequestEntry {
    const kind = this.#kinds[request.kind];
    const known = kind.get(request.id);
    if (known && !(known.state === 'failed' && runsAgain(known.kind)))
      throw new KmsError('ALREADY_EXISTS', 'this id is known', { id: request.id });
    if (known) {
      kind.running(known);
      runAgain(known);
      return known;
    }
    const evicted = kind.makeRoom();
    if (evicted) this.#forget(evicted);
    const entry = newEntry(this.#names.shared(request), this.#nextSeq++, this.#clock.nowMs());
    kind.add(entry);
    return entry;
  }

  /**
   * Stores a begun request, so that its start may be acknowledged: it will not be forgotten from here on.
   *
   * @param body - What is needed to run it again, or to use it later; absent if it is never run again.
   * @returns Resolves when committed. Rejects, and the entry is gone, if it could not be stored.
   */
  async acknowledge(request: RequestEntry, body?: Uint8Array): Promise<void> {
    const entry = this.#live(request);
    const wasStored = entry.stored;
    entry.acknowledged = true;
    try {
      await this.#write(entry, () => {
        this.#table.put(entry);
        if (body) this.#table.putBody(entry.seq, body);
        entry.stored = true;
      });
    } catch (error) {
      entry.stored = wasStored;
      entry.acknowledged = false;
      this.drop(entry);
      throw explain(error, this.#file);
    }
  }

  /**
   * Ends a request. The outcome counts, and is told to those who wait, once it is committed; never rejects.
   *
   * Its body goes, except that of a preprocessing or a context that is done. Later calls for the same run do nothing.
   */
  async settle(request: RequestEntry, outcome: Outcome): Promise<void> {
    const entry = this.#current(request);
    if (entry?.state !== 'running' || entry.settling) return;
    entry.settling = true;
    entry.outcome = outcome;
    const wasStored = entry.stored;
    const keepsBody = outcome.state === 'done' && (entry.kind === 'preproc' || entry.kind === 'context');
    const dropsBody = entry.acknowledged && !keepsBody;
    const settled = { ...entry, state: outcome.state };
    try {
      await this.#write(entry, () => {
        this.#table.put(settled, outcome, this.#clock.nowMs());
        if (dropsBody) this.#table.removeBody(entry.seq);
        entry.stored = true;
      });
      entry.outcome = undefined;
    } catch (error) {
      entry.stored = wasStored;
      // Once closed, what was not acknowledged is lost by design, and the rest is done again by the next start.
      if (this.#db.isOpen) this.#onFault(explain(error, this.#file), entry);
    }
    entry.state = outcome.state;
    entry.settling = false;
    this.#kinds[entry.kind].completed(entry);
    wake(entry);
  }

  /** Forgets a run that nobody was promised: an earlier failure of the same id stands again. */
  drop(request: RequestEntry): void {
    const entry = this.#current(request);
    if (entry?.state !== 'running' || entry.acknowledged || entry.settling) return;
    if (entry.stored) {
      entry.state = 'failed';
      this.#kinds[entry.kind].completed(entry);
    } else this.#kinds[entry.kind].delete(entry);
    wake(entry);
  }

  /** The outcome of a request that has one. Reads it from the disk. */
  outcome(request: RequestEntry): Outcome | undefined {
    const entry = this.#current(request);
    if (entry?.state !== 'done' && entry?.state !== 'failed') return undefined;
    return entry.outcome ?? this.#table.readOutcome(entry.seq);
  }

  /** The stored body of a request, if it still has one. */
  body(request: RequestEntry): Uint8Array | undefined {
    return this.#table.readBody(request.seq);
  }

  /** Size of the stored body, which is not read for it; 0 if there is none. */
  bodyBytes(request: RequestEntry): number {
    return this.#table.readBodyBytes(request.seq);
  }

  /** Resolves when the request is no longer running. */
  settled(request: RequestEntry): Promise<void> {
    const entry = this.#current(request);
    if (entry?.state !== 'running') return Promise.resolve();
    return new Promise((resolve) => {
      if (entry.waiters) entry.waiters.push(resolve);
      else entry.waiters = [resolve];
    });
  }

  /** Notes that a client asked to abort a running request, so that a restart remembers why it failed. */
  async markAborting(request: RequestEntry): Promise<void> {
    const entry = this.#live(request);
    entry.aborting = true;
    await this.#write(entry, () => {
      if (entry.state === 'running' && !entry.settling) this.#table.put(entry);
    });
  }

  /** Uses a preprocessing up for one key generation; its body goes. Read the body first. */
  async consume(request: RequestEntry, keyId: string): Promise<void> {
    const entry = this.#live(request);
    entry.consumedBy = keyId;
    const outcome = this.outcome(entry);
    try {
      await this.#write(entry, () => {
        this.#table.put(entry, outcome, this.#clock.nowMs());
        this.#table.removeBody(entry.seq);
      });
    } catch (error) {
      entry.consumedBy = undefined;
      throw explain(error, this.#file);
    }
  }

  /** Takes what a request made away but keeps its id from being used again. */
  async retire(request: RequestEntry): Promise<void> {
    const entry = this.#live(request);
    entry.state = 'deleted';
    entry.outcome = undefined;
    await this.#write(entry, () => {
      this.#table.put(entry, undefined, this.#clock.nowMs());
      this.#table.removeBody(entry.seq);
    });
  }

  /** Removes a request; its id is free again. */
  async remove(request: RequestEntry): Promise<void> {
    const entry = this.#live(request);
    this.#kinds[entry.kind].delete(entry);
    await this.#write(entry, () => this.#table.remove(entry.seq));
  }

  /** Commits what is left and closes the file. */
  close(): void {
    this.#queue.close();
    this.#db.close();
  }

  #load(): void {
    for (const row of this.#table.readAll()) {
      const live = {
        ...this.#names.shared(row),
        acknowledged: true,
        stored: true,
        settling: false,
        outcome: undefined,
        waiters: undefined,
      };
      const index = this.#kinds[row.kind];
      if (index.get(row.id)) {
        throw new KmsError('STATE_INVALID', `${this.#file} holds one request twice: restore it or move it away`);
      }
      index.add(live);
      if (live.state !== 'running') index.completed(live);
      this.#nextSeq = Math.max(this.#nextSeq, row.seq + 1);
    }
    // The capacity may be less than it was.
    for (const index of Object.values(this.#kinds)) for (const entry of index.trim()) this.#forget(entry);
  }

  #write(entry: LiveEntry, run: () => void): Promise<void> {
    // What cost minutes, or was signed once, is synced to disk; a decryption is simply done again.
    return this.#queue.add(run, !runsAgain(entry.kind));
  }

  #forget(entry: LiveEntry): void {
    if (!entry.stored) return;
    this.#queue.add(() => this.#table.remove(entry.seq), false).catch((error: unknown) => this.#onFault(error, entry));
  }

  /** The live entry, unless it has been dropped or evicted. */
  #current(request: RequestEntry): LiveEntry | undefined {
    const entry = this.#kinds[request.kind].get(request.id);
    return entry?.seq === request.seq ? entry : undefined;
  }

  #live(request: RequestEntry): LiveEntry {
    const entry = this.#current(request);
    if (!entry) throw new KmsError('INTERNAL', 'this request is no longer in the store');
    return entry;
  }
}
