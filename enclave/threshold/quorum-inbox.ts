/**
 * What comes from the other engines of a quorum, and may be lies: announcements, shares, and wishes to hear them again.
 *
 * Everything that a peer can make this engine keep is counted against that peer, and what it does wrong is noted.
 */
import { isKmsError } from '../../common/errors.ts';
import { type ApprovalBook, nameOf, type OwnRequest } from './approval-book.ts';
import type { FaultKind, FaultLedger } from './fault-ledger.ts';
import type { LiveRequest } from './live-request.ts';
import { PeerBytes } from './peer-limits.ts';
import { decodeFrame, type QuorumEntry, type Wanted } from './quorum-frame.ts';
import type { QuorumLimits } from './quorum-limits.ts';
import type { QuorumLinks } from './quorum-links.ts';
import type { RequestName } from './request-name.ts';
import type { ShareRelease } from './share-release.ts';

/** What an inbox needs. */
export interface QuorumInboxOptions {
  readonly peers: readonly number[];
  readonly book: ApprovalBook;
  readonly links: QuorumLinks;
  readonly ledger: FaultLedger;
  readonly limits: Pick<QuorumLimits, 'sharesBytesPerPeer'>;
  readonly nowMs: () => number;
  readonly live: (own: OwnRequest) => LiveRequest | undefined;
  readonly release: ShareRelease;
  /** Enough engines have announced a request. */
  readonly onApproved: (live: LiveRequest) => void;
}

/** See the file comment. */
export class QuorumInbox {
  readonly #options: QuorumInboxOptions;
  readonly #kept: PeerBytes;
  #unknown = 0;
  #closed = false;

  constructor(options: QuorumInboxOptions) {
    this.#options = options;
    this.#kept = new PeerBytes(options.limits.sharesBytesPerPeer);
  }

  /** Entries that came for no request of this engine. */
  get unknown(): number {
    return this.#unknown;
  }

  /** Reads a frame; one that is none ends the connection. */
  receive(from: number, frame: Uint8Array): void {
    const { peers, links } = this.#options;
    if (this.#closed || !peers.includes(from)) return;
    try {
      for (const entry of decodeFrame(frame)) this.#hear(from, entry);
    } catch (error) {
      if (!isKmsError(error)) throw error;
      this.#blame(from, 'malformed frame');
      links.drop(from, error.message);
    }
  }

  /** Reads nothing more. */
  close(): void {
    this.#closed = true;
  }

  /** A request needs no more shares. */
  ended(live: LiveRequest): void {
    for (const [party, bytes] of live.kept ?? []) this.#kept.give(party, bytes);
  }

  /** Notes that a peer asks for more than it may. */
  flood(party: number, live: LiveRequest): void {
    this.#blame(party, 'flood', nameOf(live.own));
  }

  /** Notes that a peer has another request under an id that is known here. */
  another(party: number, name: RequestName): void {
    this.#blame(party, 'another ciphertext', name);
  }

  /** Notes that a peer sent something else than its share. */
  wrongShare(party: number, live: LiveRequest): void {
    this.#blame(party, 'wrong share', nameOf(live.own));
  }

  #hear(from: number, entry: QuorumEntry): void {
    switch (entry.what) {
      case 'announce':
        this.#hearAnnouncement(from, entry.name);
        return;
      case 'shares':
        this.#hearShares(from, entry.tag, entry.shares);
        return;
      case 'want':
        this.#hearWant(from, entry.digest, entry.wanted);
        return;
    }
  }

  #hearAnnouncement(from: number, name: RequestName): void {
    const { book, nowMs, live: liveOf, release, onApproved } = this.#options;
    const heard = book.hear(from, name, nowMs());
    if (heard.what === 'another') this.another(from, name);
    const live = heard.what === 'counted' ? liveOf(heard.request) : undefined;
    if (!live) return;
    if (!live.isApproved && book.isApproved(live.own)) onApproved(live);
    else release.shares(live, from);
  }

  #hearShares(from: number, tag: Uint8Array, shares: Uint8Array): void {
    const own = this.#options.book.ownByTag(tag);
    const live = own && this.#options.live(own);
    if (!live?.collector) {
      if (own?.endedMs === undefined) this.#unknown += 1;
      return;
    }
    const bytes = shares.byteLength;
    if (!live.collector.ended && !live.kept?.some(([party]) => party === from)) {
      if (!this.#kept.take(from, bytes)) {
        this.flood(from, live);
        return;
      }
      live.kept ??= [];
      live.kept.push([from, bytes]);
    }
    if (live.collector.add(from, shares) === 'revised') this.#blame(from, 'revised share', nameOf(live.own));
  }

  #hearWant(from: number, digest: Uint8Array, wanted: Wanted): void {
    const { book, live: liveOf, release } = this.#options;
    const own = book.own(digest);
    const live = own && liveOf(own);
    if (!live || (live.failure !== undefined && !live.isApproved)) {
      this.#unknown += 1;
      return;
    }
    if (wanted === 'shares') release.shares(live, from);
    else release.announcement(live, from);
  }

  #blame(party: number, kind: FaultKind, name?: RequestName): void {
    const requestId = name && { requestId: Buffer.from(name.id).toString('hex') };
    this.#options.ledger.note({ party, kind, ...requestId });
  }
}
