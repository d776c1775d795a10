/**
 * The governance book: what an engine (or a Core) knows of charter, record, release sets and proposals, and what of
 * it is in force. It takes signed objects from anybody, believes signatures alone, and never goes back.
 *
 * The caller passes the time, keeps `serialise()` in the vault after each change, and calls `tick` now and then.
 * Everything here is public but the local key of developer mode. Spec: docs/formats/governance.md.
 */
import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { Measurement } from '../document/index.ts';
import { type BookState, decodeBook, EMPTY_BOOK, encodeBook, type PendingReleases } from './book-state.ts';
import { type Charter, checkCharter } from './charter.ts';
import { requireNoRollBack } from './highest.ts';
import type { ProposalKind } from './kinds.ts';
import { isRemoval, measurementsOf } from './measurements.ts';
import { isDeveloperNetwork } from './names.ts';
import type { Proposal } from './proposal.ts';
import { decodeSignedProposal, proposalFor, verifyApprovals, withApproval, withCountedApprovals } from './proposal.ts';
import { ProposalList, type ProposalSummary } from './proposal-list.ts';
import { type GovernedRecord, verifyRecord } from './record.ts';
import { type ReleaseSet, releaseSignatureStatus, verifyReleaseSet, withCountedSignatures } from './release-set.ts';
import { bodyDigest, encodeSigned, mergeSigned, type Signed } from './signed.ts';

/** How long a new release set waits, from the engine's own first sight of it. */
export const RELEASE_DELAY_MS = 72 * 3_600_000;

/** What a book is opened with. */
export interface BookOptions {
  readonly charter: Charter;
  /** Governance key that approves everything by itself: developer mode only. */
  readonly localKey?: KeyObject | undefined;
  /** Delay of a new release set; {@link RELEASE_DELAY_MS} if absent. */
  readonly delayMs?: number | undefined;
}

/** What became of an offer: it holds now, it holds later, or it was there before. */
export type OfferOutcome = 'in-force' | 'pending' | 'known';

/** Versions as they stand in a peer's hello; 0 for none. */
export interface Versions {
  readonly record: number;
  readonly releases: number;
}

/** An object to hand to a peer or an engine. */
export interface GovernanceOffer {
  readonly kind: 'record' | 'release-set' | 'proposal';
  readonly content: Uint8Array;
}

/** Charter, record, release sets and proposals of one party. */
export class GovernanceBook {
  readonly charter: Charter;
  readonly #delayMs: number;
  readonly #localKey: KeyObject | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #proposals: ProposalList;
  readonly #state: Omit<BookState, 'proposals'>;

  /**
   * Opens an empty book, or the one that `stored` holds.
   *
   * @throws {@link KmsError} `REQUEST_INVALID` for a bad charter, `CONFIG_INVALID` for a local key outside of
   *   developer mode, `STATE_INVALID` if `stored` is damaged or of another charter.
   */
  constructor({ charter, localKey, delayMs = RELEASE_DELAY_MS }: BookOptions, stored?: Uint8Array) {
    checkCharter(charter);
    if (localKey !== undefined && !isDeveloperNetwork(charter.network)) {
      throw new KmsError('CONFIG_INVALID', 'only a network of developer mode has a governance key on the node');
    }
    const { proposals, ...state } = stored === undefined ? EMPTY_BOOK : decodeBook(stored, charter);
    this.charter = charter;
    this.#localKey = localKey;
    this.#delayMs = isDeveloperNetwork(charter.network) ? 0 : delayMs;
    this.#proposals = new ProposalList(charter, localKey, proposals);
    this.#state = { ...state };
  }

  /** Opens the book that {@link serialise} gave; see the constructor. */
  static load(bytes: Uint8Array, options: BookOptions): GovernanceBook {
    return new GovernanceBook(options, bytes);
  }

  /** Returns the book as the vault keeps it: canonical, equal for equal books. */
  serialise(): Uint8Array {
    return encodeBook(this.charter, { ...this.#state, proposals: this.#proposals.all() });
  }

  /** The record in force, or undefined before the first. */
  get record(): Signed<GovernedRecord> | undefined {
    return this.#state.record;
  }

  /** The release set in force, or undefined before the first. */
  get releases(): Signed<ReleaseSet> | undefined {
    return this.#state.releases;
  }

  /** The release set that waits for its delay. */
  get pending(): PendingReleases | undefined {
    return this.#state.pending;
  }

  /** Highest versions ever accepted: what a hello says. */
  get versions(): Versions {
    return {
      record: this.#state.highestRecord?.version ?? 0,
      releases: this.#state.highestReleases?.version ?? 0,
    };
  }

  /** How far each known proposal has come, in order of first sight. */
  get proposals(): readonly ProposalSummary[] {
    return this.#proposals.summaries();
  }

  /**
   * Takes a record from anybody: the highest version wins.
   *
   * @returns `in-force`, or `known` if it is the one that holds.
   * @throws {@link KmsError} as `verifyRecord`; `PRECONDITION_FAILED` for an older version than seen,
   *   `ALREADY_EXISTS` for another record of the same version. The book is then as it was.
   */
  offerRecord(bytes: Uint8Array): OfferOutcome {
    const record = withCountedApprovals('record', verifyRecord(bytes, this.charter), this.charter);
    const seen = { version: record.body.version, digest: bodyDigest(record) };
    const { record: held, highestRecord } = this.#state;
    if (requireNoRollBack('the governed record', seen, highestRecord))
      return this.#keep({ record: merged(held, record) });
    this.#state.record = record;
    this.#state.highestRecord = seen;
    this.#dropPendingOfOldKeys(record.body);
    this.#changed();
    return 'in-force';
  }

  /**
   * Takes a release set from anybody: the highest version wins. The first set, sets that only remove, and sets of
   * developer networks hold at once; others after the delay, counted from the first offer that was accepted.
   *
   * @throws {@link KmsError} `PRECONDITION_FAILED` before the first record and for an older version than seen;
   *   `ALREADY_EXISTS` for another set of the same version; `APPROVAL_MISSING` without governance's approval, naming
   *   the proposal; otherwise as `verifyReleaseSet`. The book is then as it was.
   */
  offerReleases(bytes: Uint8Array, nowMs: number): OfferOutcome {
    this.tick(nowMs);
    const record = this.#state.record;
    if (record === undefined) {
      throw new KmsError(
        'PRECONDITION_FAILED',
        'needs a governed record before a release set: it names the release keys',
      );
    }
    const set = this.#completed(verifyReleaseSet(bytes, record.body), record.body);
    const seen = { version: set.body.version, digest: bodyDigest(set) };
    const { releases, pending, highestReleases } = this.#state;
    const isKnown = requireNoRollBack('the release set', seen, highestReleases);
    verifyApprovals(proposalFor('release-set', set), set.approvals, this.charter);
    if (isKnown && isSame(releases, set)) return this.#keep({ releases: set });
    if (isKnown && pending !== undefined && isSame(pending.set, set))
      return this.#keep({ pending: { ...pending, set } });
    this.#state.highestReleases = seen;
    const delayMs = releases === undefined || isRemoval(releases.body, set.body) ? 0 : this.#delayMs;
    if (delayMs === 0) {
      this.#state.releases = set;
      this.#state.pending = undefined;
    } else {
      this.#state.pending = { set, firstSeenMs: nowMs, effectiveFromMs: nowMs + delayMs };
    }
    this.#changed();
    return delayMs === 0 ? 'in-force' : 'pending';
  }

  /**
   * Takes a proposal with approvals from anybody.
   *
   * @returns `in-force` when it is approved, `pending` when signatures are missing, `known` if it brought nothing new.
   * @throws {@link KmsError} `REQUEST_INVALID` if it is malformed, `PERMISSION_DENIED` if it is of another network or
   *   carries no signature of a governance key.
   */
  offerProposal(bytes: Uint8Array): OfferOutcome {
    const outcome = this.#proposals.offer(decodeSignedProposal(bytes));
    if (outcome !== 'known') this.#changed();
    return outcome;
  }

  /**
   * Takes an object of the kind that its sender says.
   *
   * @throws {@link KmsError} as the three offers.
   */
  offer({ kind, content }: GovernanceOffer, nowMs: number): OfferOutcome {
    switch (kind) {
      case 'record':
        return this.offerRecord(content);
      case 'release-set':
        return this.offerReleases(content, nowMs);
      case 'proposal':
        return this.offerProposal(content);
    }
  }

  /** Returns what a peer with these versions lacks, in the order in which it can take it. */
  offersFor(peer: Versions): readonly GovernanceOffer[] {
    const { record, releases, pending } = this.#state;
    const newest = pending?.set ?? releases;
    return [
      ...(record && record.body.version > peer.record
        ? [{ kind: 'record' as const, content: encodeSigned(record) }]
        : []),
      ...(newest && newest.body.version > peer.releases
        ? [{ kind: 'release-set' as const, content: encodeSigned(newest) }]
        : []),
    ];
  }

  /** Puts a release set into force whose delay is over; returns whether one was. */
  tick(nowMs: number): boolean {
    const { pending } = this.#state;
    if (pending === undefined || nowMs < pending.effectiveFromMs) return false;
    this.#state.releases = pending.set;
    this.#state.pending = undefined;
    this.#changed();
    return true;
  }

  /** Returns the measurements trusted at an instant; nobody before the first release set. */
  measurements(nowMs: number): readonly Measurement[] {
    const { pending, releases } = this.#state;
    const isOver = pending !== undefined && nowMs >= pending.effectiveFromMs;
    return measurementsOf((isOver ? pending.set : releases)?.body, nowMs);
  }

  /** Returns whether governance has approved a change of the given kind and digest. */
  isApproved(kind: ProposalKind, digest: Uint8Array): boolean {
    return this.#proposals.status(this.#proposal(kind, digest)).approved;
  }

  /**
   * Requires governance's approval; in developer mode the local key gives it here.
   *
   * @throws {@link KmsError} `APPROVAL_MISSING`, naming the proposal's digest.
   */
  requireApproval(kind: ProposalKind, digest: Uint8Array): void {
    const proposal = this.#proposal(kind, digest);
    if (this.#localKey !== undefined && this.#proposals.approveLocally(proposal)) this.#changed();
    this.#proposals.ask(proposal);
    verifyApprovals(proposal, this.#proposals.approvalsOf(proposal), this.charter);
  }

  /** Calls `listener` after each change; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #proposal(kind: ProposalKind, digest: Uint8Array): Proposal {
    return { network: this.charter.network, kind, digest };
  }

  /** The set with all signatures known for it that count: its own, a held equal's, the proposal's, the local key's. */
  #completed(offered: Signed<ReleaseSet>, record: GovernedRecord): Signed<ReleaseSet> {
    const { releases, pending } = this.#state;
    const held = [releases, pending?.set].find((candidate) => isSame(candidate, offered));
    const proposed = { ...offered, approvals: this.#proposals.approvalsOf(proposalFor('release-set', offered)) };
    const all = mergeSigned(merged(held, offered), proposed);
    const counted = withCountedApprovals('release-set', withCountedSignatures(all, record), this.charter);
    return this.#localKey === undefined ? counted : withApproval('release-set', counted, this.#localKey);
  }

  /** Keeps new signatures of an object that is held: after a change of keys the old ones convince nobody. */
  #keep(change: Partial<Omit<BookState, 'proposals'>>): 'known' {
    const before = this.serialise();
    Object.assign(this.#state, change);
    if (!equalBytes(before, this.serialise())) this.#changed();
    return 'known';
  }

  /** A set that waits must be signed by the keys that hold now: the old ones may have been taken away for a reason. */
  #dropPendingOfOldKeys(record: GovernedRecord): void {
    const { pending } = this.#state;
    if (pending !== undefined && !releaseSignatureStatus(pending.set, record).complete) this.#state.pending = undefined;
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function isSame(held: Signed<unknown> | undefined, offered: Signed<unknown>): boolean {
  return held !== undefined && equalBytes(held.bytes, offered.bytes);
}

function merged<T>(held: Signed<T> | undefined, offered: Signed<T>): Signed<T> {
  return held === undefined ? offered : mergeSigned(held, offered);
}
