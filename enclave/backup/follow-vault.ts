/**
 * Keeps the backup as the private vault is: after each write it copies what the backup does not have yet. SECRET: content
 * passes through, from one sealed stream into another.
 *
 * It is no part of the write: a backup that fails is counted, told and tried again, and the node goes on.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { ManifestEntry, ManifestPoint } from '../seal/manifest.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import type { SealedStore, StoredObject } from '../seal/sealed-store.ts';
import type { BackupVault } from './backup-vault.ts';
import { notCopied, samePoint } from './differing.ts';

/** The private vault, as the follower reads it. */
export interface FollowedVault {
  readonly head: Pick<ManifestHead, 'entries' | 'entry' | 'point'>;
  readonly store: Pick<SealedStore, 'read'>;
  readonly describe: (name: string) => StoredObject;
}

/** Where copies go. */
export interface BackupPlace {
  /** Name of the folder below the backup storage. */
  readonly folder: string;
  readonly keychain: string;
  /** Opened at the first copy, and again after a failure. */
  readonly open: () => Promise<BackupVault>;
}

/** What a follower is made of. */
export interface FollowerParts {
  readonly vault: FollowedVault;
  /** Undefined: there is no key to seal backups with yet, and the reason is told. */
  readonly place: BackupPlace | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Waits before the next attempt. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** How a backup is doing. */
export interface FollowerStatus {
  readonly keychain: string;
  readonly folder: string;
  /** Objects that the backup does not have as they are now. */
  readonly behind: number;
  /** For how long it has not been complete; 0 if it is. */
  readonly behindMs: number;
  readonly copied: number;
  readonly failures: number;
  /** Why the last attempt failed; undefined after one that succeeded. */
  readonly failure: KmsError | undefined;
  /** State of the private vault that the backup is complete to. */
  readonly completeTo: ManifestPoint | undefined;
}

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

/** See the file comment. */
export class BackupFollower {
  readonly #parts: FollowerParts;
  readonly #stop = new AbortController();
  #place: BackupPlace | undefined;
  #open: BackupVault | undefined;
  #running: Promise<void> | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** Ends the wait before the next attempt. */
  #wake = new AbortController();
  #behindSinceMs: number | undefined;
  #copied = 0;
  #failures = 0;
  #failure: KmsError | undefined;
  #completeTo: ManifestPoint | undefined;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#place = parts.place;
  }

  /** Something was written: copies it soon. Returns at once. */
  changed(): void {
    if (this.#stop.signal.aborted) return;
    this.#behindSinceMs ??= this.#parts.clock.monotonicMs();
    this.#wake.abort();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** From now on copies go elsewhere: all that the vault holds, since another key seals it there. Undefined: nowhere. */
  use(place: BackupPlace | undefined): void {
    this.#place = place;
    this.#open = undefined;
    this.#completeTo = undefined;
    this.changed();
  }

  /**
   * Waits until the backup is as the private vault is now.
   *
   * @throws KmsError What keeps it from being so, if the attempt under way fails or there is no key.
   */
  async complete(): Promise<void> {
    while (!this.#isComplete()) {
      if (this.#stop.signal.aborted) throw new KmsError('CANCELLED', 'the backup has ended');
      const before = this.#failures;
      await this.#copyAll();
      if (this.#failure !== undefined && this.#failures > before) throw this.#failure;
    }
  }

  /** How the backup is. */
  status(): FollowerStatus {
    const { clock } = this.#parts;
    const since = this.#isComplete() ? undefined : this.#behindSinceMs;
    return {
      keychain: this.#place?.keychain ?? '',
      folder: this.#place?.folder ?? '',
      behind: this.#behind().length,
      behindMs: since === undefined ? 0 : Math.max(0, clock.monotonicMs() - since),
      copied: this.#copied,
      failures: this.#failures,
      failure: this.#failure,
      completeTo: this.#completeTo,
    };
  }

  /** Copies nothing more; waits for the copy under way, which is given up. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#running;
    await this.#turn;
  }

  /** Tries until the backup is complete, with longer and longer waits; a write in between ends the wait. */
  async #run(): Promise<void> {
    const { wait = defaultWait } = this.#parts;
    let waitMs = FIRST_WAIT_MS;
    while (!this.#stop.signal.aborted && !this.#isComplete()) {
      await this.#copyAll();
      if (this.#failure === undefined) continue;
      this.#wake = new AbortController();
      await wait(waitMs, AbortSignal.any([this.#stop.signal, this.#wake.signal]));
      waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    }
  }

  /** One attempt; never throws, what fails is kept. One at a time. */
  async #copyAll(): Promise<void> {
    const turn = this.#turn.then(async () => {
      try {
        await this.#attempt();
        this.#failure = undefined;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#fail(error);
      }
    });
    this.#turn = turn;
    await turn;
  }

  async #attempt(): Promise<void> {
    const place = this.#place;
    if (place === undefined) throw noKey();
    const { vault } = this.#parts;
    const backup = this.#open ?? (await place.open());
    if (place !== this.#place) return;
    this.#open = backup;
    this.#completeTo = backup.head.source;
    while (!this.#isComplete() && place === this.#place) {
      if (this.#stop.signal.aborted) throw new KmsError('CANCELLED', 'the backup was given up');
      // Both of one state: neither changes, a write makes others.
      const [point, entries] = [vault.head.point, vault.head.entries()];
      const removed: [string, ManifestEntry][] = [];
      for (const [name, entry] of notCopied(entries, backup.head.entries())) {
        if (entry.writing === undefined) removed.push([name, entry]);
        else await this.#copy(backup, name, entry);
      }
      await this.#finish(backup, removed, point);
    }
    this.#behindSinceMs = undefined;
  }

  /** Copies one object as it is now; one that was replaced meanwhile is left to the next round. */
  async #copy(backup: BackupVault, name: string, entry: ManifestEntry): Promise<void> {
    const { vault } = this.#parts;
    const { signal } = this.#stop;
    try {
      await vault.store.read(
        vault.describe(name),
        async (content, { version, sizeBytes, compression }) => {
          const size = sizeBytes === undefined ? {} : { sizeBytes };
          const options = { ...size, version, compressible: compression !== 'none', signal };
          await backup.store.put(backup.describe(name), content, options);
        },
        signal,
      );
      this.#copied += 1;
    } catch (error) {
      if (vault.head.entry(name) === entry) throw error;
    }
  }

  /** Only once all of a state is there the backup says that it is complete to it. */
  async #finish(
    backup: BackupVault,
    removed: readonly (readonly [string, ManifestEntry])[],
    point: ManifestPoint | undefined,
  ): Promise<void> {
    const before = removed.map(([name]) => [name, backup.head.entry(name)?.writing] as const);
    await backup.head.advance(new Map(removed), { source: point });
    this.#completeTo = point;
    for (const [name, writing] of before) {
      if (writing === undefined) continue;
      const path = [...name.split('/'), writing.place];
      await backup.storage.delete(path).catch((err: unknown) => {
        this.#parts.log.warn({ event: 'backup.leftover', object: name, err });
      });
    }
  }

  #behind(): readonly unknown[] {
    return notCopied(this.#parts.vault.head.entries(), this.#open?.head.entries() ?? new Map());
  }

  #isComplete(): boolean {
    return this.#open !== undefined && samePoint(this.#open.head.source, this.#parts.vault.head.point);
  }

  #fail(error: unknown): void {
    const known = isKmsError(error) ? error : new KmsError('INTERNAL', 'the backup failed', {}, error);
    this.#failures += 1;
    this.#failure = known;
    // Opened anew: a head that another server moved may be ours again, and refuses if that server was started later.
    this.#open = undefined;
    const { behind } = this.status();
    this.#parts.log.error({ event: 'backup.failed', code: known.code, failures: this.#failures, behind, err: error });
  }
}

function noKey(): KmsError {
  return new KmsError('PRECONDITION_FAILED', 'nothing seals backups yet: make a custodian context first');
}

async function defaultWait(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
