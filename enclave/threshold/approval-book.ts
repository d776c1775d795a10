/**
 * Who has announced which request: the memory behind co-approval.
 *
 * A request is approved once 2t + 1 engines, this one included, have announced its digest. Up to t peers lie: t + 1
 * announcements are then of honest engines, whose Cores were asked. Announcements that come before this engine was asked
 * are kept for a while, within bounds of each peer: a flooder pushes out his own only. Pure: time comes in.
 */
import { KmsError } from '../../common/errors.ts';
import { PartySet } from './party-set.ts';
import type { RequestKind, RequestName } from './request-name.ts';

/** Bounds of a book. */
export interface BookLimits {
  /** Announcements that one peer may have here before this engine is asked. */
  readonly earlyPerPeer: number;
  /** How long they are kept. */
  readonly keepEarlyMs: number;
  /** Requests of this engine's own Core that wait for approval or shares. */
  readonly maxPending: number;
  /** Ended requests that are remembered, so that peers that come late get what they lack. */
  readonly maxEnded: number;
  readonly keepEndedMs: number;
}

/** A request that this engine was asked for. Kept small: there are many that have ended. */
export interface OwnRequest {
  readonly kind: RequestKind;
  /** Kind and id, and the digest, as {@link textOf} writes them. */
  readonly idKey: string;
  readonly key: string;
  readonly sinceMs: number;
  /** This engine and the peers that announced it. */
  readonly announcedBy: PartySet;
  endedMs: number | undefined;
}

/** Returns a request's name, in memory of its own. */
export function nameOf({ kind, idKey, key }: OwnRequest): RequestName {
  return { kind, id: bytesOf(idKey.slice(KIND_LENGTH)), digest: bytesOf(key) };
}

/** What became of an announcement. */
export type Heard =
  | { readonly what: 'counted'; readonly request: OwnRequest }
  /** This engine knows another request under that id. */
  | { readonly what: 'another' }
  | { readonly what: 'early' };

interface Early {
  readonly idKey: string;
  readonly atMs: number;
}

/** Characters of a kind in front of an id. */
const KIND_LENGTH = 1;
/** Bytes of the digest by which shares name their request. */
const TAG_LENGTH = 16;

/** One character for each byte: half of what hexadecimal digits take. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** Two requests of one kind and id are one request, or one of them is another request under a known id. */
function idKeyOf({ kind, id }: RequestName): string {
  return kind.slice(0, KIND_LENGTH) + textOf(id);
}

/** One peer's early announcements: by digest in the order they came, and by id. */
interface EarlyOfPeer {
  readonly byKey: Map<string, Early>;
  readonly byId: Map<string, string>;
}

/** See the file comment. */
export class ApprovalBook {
  readonly #me: number;
  readonly #limits: BookLimits;
  readonly #needed: number;
  readonly #pending = new Map<string, OwnRequest>();
  readonly #ended = new Map<string, OwnRequest>();
  /** Ended openings of zero, one for each key and epoch: a party that comes back opens them again. */
  readonly #lasting = new Map<string, OwnRequest>();
  readonly #idKeys = new Map<string, string>();
  readonly #tags = new Map<string, string>();
  readonly #early = new Map<number, EarlyOfPeer>();

  constructor(options: { readonly me: number; readonly t: number; readonly limits: BookLimits }) {
    this.#me = options.me;
    this.#limits = options.limits;
    this.#needed = 2 * options.t + 1;
  }

  /** Requests that wait. */
  get pending(): Iterable<OwnRequest> {
    return this.#pending.values();
  }

  /** Whether no further request can wait. */
  get isFull(): boolean {
    return this.#pending.size >= this.#limits.maxPending;
  }

  /** Number of requests remembered, waiting or ended. */
  get size(): number {
    return this.#pending.size + this.#ended.size + this.#lasting.size;
  }

  /** Whether enough engines have announced it. */
  isApproved(request: OwnRequest): boolean {
    return request.announcedBy.size >= this.#needed;
  }

  /** Returns a request that this engine was asked for, by its digest. */
  own(digest: Uint8Array): OwnRequest | undefined {
    return this.#byKey(textOf(digest));
  }

  /** Returns a request that this engine was asked for, by the tag of its digest. */
  ownByTag(tag: Uint8Array): OwnRequest | undefined {
    const key = this.#tags.get(textOf(tag));
    return key === undefined ? undefined : this.#byKey(key);
  }

  /** Number of announcements of a peer that wait for this engine to be asked. */
  earlyOf(party: number): number {
    return this.#early.get(party)?.byKey.size ?? 0;
  }

  /**
   * This engine is asked for a request: for the first time, or again.
   *
   * @returns The request, and the peers known to have another one under its id.
   * @throws {@link KmsError} `ALREADY_EXISTS` if this engine itself has another one, `RESOURCE_EXHAUSTED` when too many
   * wait.
   */
  begin(
    name: RequestName,
    nowMs: number,
  ): { readonly request: OwnRequest; readonly isNew: boolean; readonly others: readonly number[] } {
    const key = textOf(name.digest);
    this.#forgetEnded(nowMs);
    const known = this.#byKey(key);
    if (known) return { request: known, isNew: false, others: [] };
    const [idKey, tag] = [idKeyOf(name), key.slice(0, TAG_LENGTH)];
    if (this.#idKeys.has(idKey) || this.#tags.has(tag)) {
      throw new KmsError('ALREADY_EXISTS', 'another request with this id was asked for before');
    }
    if (this.isFull) {
      const { maxPending } = this.#limits;
      throw new KmsError('RESOURCE_EXHAUSTED', 'too many requests wait for other parties', { maxPending });
    }
    const { kind } = name;
    const announcedBy = new PartySet([this.#me]);
    const request: OwnRequest = { kind, idKey, key, sinceMs: nowMs, announcedBy, endedMs: undefined };
    const others: number[] = [];
    for (const [party, early] of this.#early) {
      this.#forgetEarly(early, nowMs);
      if (dropEarly(early, key)) request.announcedBy.add(party);
      else if (early.byId.has(idKey)) others.push(party);
    }
    this.#pending.set(key, request);
    this.#idKeys.set(idKey, key);
    this.#tags.set(tag, key);
    return { request, isNew: true, others };
  }

  /** A peer announces a request. */
  hear(from: number, name: RequestName, nowMs: number): Heard {
    const key = textOf(name.digest);
    const request = this.#byKey(key);
    if (request) {
      request.announcedBy.add(from);
      return { what: 'counted', request };
    }
    const idKey = idKeyOf(name);
    const early = this.#early.get(from) ?? { byKey: new Map(), byId: new Map() };
    this.#early.set(from, early);
    this.#forgetEarly(early, nowMs);
    const isRepeated = dropEarly(early, key); // the newest stands last
    early.byKey.set(key, { idKey, atMs: nowMs });
    early.byId.set(idKey, key);
    if (early.byKey.size > this.#limits.earlyPerPeer) this.#evictOldest(early);
    return { what: !isRepeated && this.#idKeys.has(idKey) ? 'another' : 'early' };
  }

  /** A request needs nothing more, or has failed. It is remembered for a while. */
  end(request: OwnRequest, nowMs: number): void {
    if (!this.#pending.delete(request.key)) return;
    request.endedMs = nowMs;
    if (request.kind === 'zero') {
      this.#lasting.set(request.key, request);
      return;
    }
    this.#ended.set(request.key, request);
    this.#forgetEnded(nowMs);
  }

  /** Forgets a request, whatever became of it. */
  forget(request: OwnRequest): void {
    const { key, idKey } = request;
    for (const requests of [this.#pending, this.#ended, this.#lasting]) requests.delete(key);
    this.#idKeys.delete(idKey);
    this.#tags.delete(key.slice(0, TAG_LENGTH));
    this.onForget?.(request);
  }

  /** Called with each request that is forgotten. */
  onForget: ((request: OwnRequest) => void) | undefined;

  #byKey(key: string): OwnRequest | undefined {
    return this.#pending.get(key) ?? this.#ended.get(key) ?? this.#lasting.get(key);
  }

  #forgetEnded(nowMs: number): void {
    const { keepEndedMs, maxEnded } = this.#limits;
    for (const request of this.#ended.values()) {
      if (this.#ended.size <= maxEnded && nowMs - (request.endedMs ?? nowMs) < keepEndedMs) return;
      this.forget(request);
    }
  }

  #forgetEarly(early: EarlyOfPeer, nowMs: number): void {
    for (const { atMs } of early.byKey.values()) {
      if (nowMs - atMs < this.#limits.keepEarlyMs) return;
      this.#evictOldest(early);
    }
  }

  #evictOldest(early: EarlyOfPeer): void {
    const [oldest] = early.byKey.keys();
    if (oldest !== undefined) dropEarly(early, oldest);
  }
}

/** Takes an early announcement out, under whatever id it came. Returns whether there was one. */
function dropEarly({ byKey, byId }: EarlyOfPeer, key: string): boolean {
  const idKey = byKey.get(key)?.idKey;
  if (idKey === undefined) return false;
  byKey.delete(key);
  if (byId.get(idKey) === key) byId.delete(idKey);
  return true;
}
