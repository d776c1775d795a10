/**
 * The head of a vault's manifest in storage: moved by compare-and-swap, so that of two servers of one party one goes on and
 * the other notices, and stops. Public.
 *
 * Objects are stored before the manifest names them, and removed after it has ceased to; what a crash leaves in between
 * is not in the manifest, or newer than it by one. Spec: docs/formats/manifest.md.
 */
import { equalBytes } from '../../common/bytes.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { ObjectPath, ObjectTag, Storage } from '../../storage/storage.ts';
import {
  type ExpectedManifest,
  MAX_MANIFEST_BYTES,
  type Manifest,
  type ManifestEntry,
  type ManifestPoint,
  manifestDigest,
  readManifest,
  writeManifest,
} from './manifest.ts';
import type { ObjectSigner } from './object-signatures.ts';

/** Where the head lies. */
const HEAD: ObjectPath = ['Manifest', 'head'];
const NO_MEMORY = new Uint8Array(0);

/** Who moves the head. */
export interface ManifestWriter {
  readonly storage: Pick<Storage, 'fenced' | 'getTagged' | 'swap'>;
  readonly signer: ObjectSigner;
  readonly asked: ExpectedManifest;
  /** Start of this engine: greater than that of any engine of the party before. */
  readonly incarnation: number;
  /** Production: only storage that keeps servers on different machines apart will do. */
  readonly needsFence: boolean;
  /** Told once that another server moved the head. */
  readonly onLost?: ((why: KmsError) => void) | undefined;
}

/** What changes beside entries. */
export interface AdvanceOptions {
  /** See {@link Manifest.source}; null removes it, undefined leaves it as it is. */
  readonly source?: ManifestPoint | null | undefined;
}

/** A vault's manifest as one server sees it. One change at a time; after a loss, none ever. */
export class ManifestHead {
  readonly #writer: ManifestWriter;
  #current: Manifest | undefined;
  #tag: ObjectTag | undefined;
  #lost: KmsError | undefined;
  /** What a write of unknown outcome would have made the state. */
  #attempted: Manifest | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** What the next state is to remember of other parties, if that has changed. */
  #toRemember: Uint8Array | undefined;
  /** Why objects may not be written at present. */
  #confined: KmsError | undefined;
  readonly #watchers = new Set<(point: ManifestPoint) => void>();
  readonly #followers = new Set<() => void>();

  private constructor(writer: ManifestWriter) {
    this.#writer = writer;
  }

  /**
   * Reads the head and checks it.
   *
   * @throws KmsError `STATE_INVALID` as {@link readManifest}, also for a vault without manifest where one is remembered;
   *   `ABORTED` if a later start of this party wrote it; `CONFIG_INVALID` for storage without the fence that is needed.
   */
  static async open(writer: ManifestWriter): Promise<ManifestHead> {
    if (writer.needsFence && !writer.storage.fenced) {
      const cure = 'use a bucket with conditional writes';
      throw new KmsError('CONFIG_INVALID', `this storage cannot keep two servers of one party apart: ${cure}`);
    }
    const head = new ManifestHead(writer);
    await head.#load();
    if (head.#lost !== undefined) throw head.#lost;
    return head;
  }

  /** The state, for peers and operators to remember; undefined: nothing was ever written. */
  get point(): ManifestPoint | undefined {
    const current = this.#current;
    return current && { sequence: current.sequence, digest: manifestDigest(current) };
  }

  /** What this vault's state was copied from; see {@link Manifest.source}. */
  get source(): ManifestPoint | undefined {
    return this.#current?.source;
  }

  /** All that is known, by name; also of what was removed. */
  entries(): ReadonlyMap<string, ManifestEntry> {
    return this.#current?.entries ?? new Map();
  }

  /** What the newest state, written or about to be, remembers of other parties; empty: nothing. */
  get memory(): Uint8Array {
    return this.#toRemember ?? this.#current?.memory ?? NO_MEMORY;
  }

  /** Gives every later state this memory of other parties; it is durable once an {@link advance} begun after it returns. */
  remember(memory: Uint8Array): void {
    this.#toRemember = memory.slice();
  }

  /** Refuses every change of objects with this error, until {@link release}; the head may still be taken over. */
  confine(why: KmsError): void {
    this.#confined = why;
  }

  /** Ends {@link confine}. */
  release(): void {
    this.#confined = undefined;
  }

  /** Tells the listener of every state that is written. Returns how to stop that. */
  follow(listener: () => void): () => void {
    this.#followers.add(listener);
    return () => void this.#followers.delete(listener);
  }

  /** Tells the listener of every state that has other objects than the one before. Returns how to stop that. */
  watch(listener: (point: ManifestPoint) => void): () => void {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  /**
   * Looks whether the head is still where this server left it.
   *
   * @throws KmsError `ABORTED` if another server moved it, now and for all later calls; what storage throws.
   */
  async check(): Promise<void> {
    const turn = this.#turn.then(async () => {
      if (this.#lost !== undefined) throw this.#lost;
      if (this.#attempted !== undefined) await this.#settle(this.#attempted);
      if ((await this.#writer.storage.getTagged(HEAD, MAX_MANIFEST_BYTES)).tag !== this.#tag) throw this.#lose();
    });
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  /** What is known of an object; also of one that was removed. */
  entry(name: string): ManifestEntry | undefined {
    return this.#current?.entries.get(name);
  }

  /** The version under which an object is to be sealed next. */
  nextVersion(name: string): number {
    return (this.entry(name)?.version ?? 0) + 1;
  }

  /**
   * Writes the next state; without changes it only takes the head over. Once it returns, every other server has lost.
   *
   * The first state of a private vault that is restored goes on where its source ended.
   *
   * @throws KmsError `ABORTED` if another server moved the head: this one has lost, now and for all later calls;
   *   `REQUEST_INVALID` for a version that is no later one; what storage throws, unless the write is found to be there;
   *   for changes what {@link confine} was given.
   */
  async advance(
    changes: ReadonlyMap<string, ManifestEntry> = new Map(),
    options: AdvanceOptions = {},
  ): Promise<ManifestPoint> {
    const turn = this.#turn.then(() => this.#advance(changes, options));
    // Whoever comes next waits for the end of this one, however it ends.
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }

  async #advance(changes: ReadonlyMap<string, ManifestEntry>, options: AdvanceOptions): Promise<ManifestPoint> {
    if (this.#lost !== undefined) throw this.#lost;
    if (changes.size > 0 && this.#confined !== undefined) throw this.#confined;
    if (this.#attempted !== undefined) await this.#settle(this.#attempted);
    for (const [name, { version }] of changes) {
      if (Number.isSafeInteger(version) && version >= this.nextVersion(name)) continue;
      throw new KmsError('REQUEST_INVALID', `${name}: the next version is ${this.nextVersion(name)}`, { version });
    }
    const { storage, signer, asked, incarnation } = this.#writer;
    const { purpose, charterDigest, party } = asked;
    const source = options.source === undefined ? this.source : (options.source ?? undefined);
    const before = this.point ?? (purpose === 'private-object' ? source : undefined);
    const next: Manifest = {
      purpose,
      charterDigest,
      party,
      sequence: (before?.sequence ?? 0) + 1,
      previous: before?.digest,
      incarnation,
      source,
      entries: new Map([...(this.#current?.entries ?? []), ...changes]),
      memory: this.memory,
    };
    const point = { sequence: next.sequence, digest: manifestDigest(next) };
    try {
      this.#tag = await storage.swap(HEAD, writeManifest(next, signer), this.#tag);
      this.#current = next;
    } catch (error) {
      if (isKmsError(error, 'ABORTED')) throw this.#lose(error);
      this.#attempted = next;
      // Where this fails as well, the next call begins with it.
      const isWritten = await this.#settle(next).catch((later: unknown) => {
        if (isKmsError(later, 'ABORTED')) throw later;
        return false;
      });
      if (!isWritten) throw error;
    }
    for (const listener of [...this.#followers]) listener();
    if (changes.size > 0) for (const listener of [...this.#watchers]) listener(point);
    return point;
  }

  /** Finds out whether a write of unknown outcome came about; says so if it did. */
  async #settle(attempted: Manifest): Promise<boolean> {
    const { storage, asked } = this.#writer;
    const there = await storage.getTagged(HEAD, MAX_MANIFEST_BYTES).catch((error: unknown) => {
      if (isKmsError(error, 'NOT_FOUND') && this.#tag === undefined) return undefined;
      throw error;
    });
    if (there !== undefined && there.tag !== this.#tag) {
      const found = readManifest(there.content, asked);
      if (!equalBytes(manifestDigest(found), manifestDigest(attempted))) throw this.#lose();
      this.#current = attempted;
      this.#tag = there.tag;
    }
    this.#attempted = undefined;
    return this.#current === attempted;
  }

  async #load(): Promise<void> {
    const { storage, asked, incarnation } = this.#writer;
    try {
      const { content, tag } = await storage.getTagged(HEAD, MAX_MANIFEST_BYTES);
      this.#current = readManifest(content, asked);
      this.#tag = tag;
    } catch (error) {
      if (!isKmsError(error, 'NOT_FOUND')) throw error;
      if (asked.remembered === undefined) return;
      const facts = { fault: 'rolled-back', faults: 'rolled-back', sequence: asked.remembered.sequence };
      throw new KmsError('STATE_INVALID', 'the vault has no manifest, but a state of it is remembered', facts, error);
    }
    if (this.#current.incarnation > incarnation) this.#lose();
  }

  #lose(cause?: unknown): KmsError {
    const message = 'another server of this party has taken over: this one stops writing';
    const isFirst = this.#lost === undefined;
    this.#lost ??= new KmsError('ABORTED', message, { incarnation: this.#writer.incarnation }, cause);
    if (isFirst) this.#writer.onLost?.(this.#lost);
    return this.#lost;
  }
}
