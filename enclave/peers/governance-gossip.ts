/**
 * Engines keep each other up to date: whoever's hello shows an older record or release set is sent the newer one, and a
 * change here goes to everyone who is connected. The highest version wins, whoever brings it; its signatures alone decide.
 *
 * Everything here is public. Design §3, "Release set"; docs/formats/governance.md.
 */
import type { GovernanceOffer, Versions } from '../../attestation/governance/book.ts';
import { isKmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import { PeerRate } from '../threshold/peer-limits.ts';
import type { QuorumTimers } from '../threshold/quorum-links.ts';
import type { OfferMessage } from './control-messages.ts';

/** Settings of {@link GovernanceGossip}. */
export interface GovernanceGossipOptions {
  readonly governance: Pick<GovernanceMemory, 'book' | 'offer'>;
  readonly timers: Pick<QuorumTimers, 'monotonicMs' | 'soon'>;
  readonly log: Pick<Logger, 'warn' | 'info' | 'error'>;
  readonly send: (to: number, message: OfferMessage) => void;
  /** Parties that messages can be sent to now. */
  readonly reachable: () => readonly number[];
  /** A peer offers more than it may. */
  readonly onFlood: (party: number) => void;
}

/** Objects of one peer that are looked at in a second, each for a few signatures; also how many may wait. */
const OFFERS_PER_SECOND = 8;

/** See the file comment. */
export class GovernanceGossip {
  readonly #options: GovernanceGossipOptions;
  readonly #rate = new PeerRate(OFFERS_PER_SECOND);
  /** What each peer has, as far as it has said or was told. */
  readonly #theirs = new Map<number, Versions>();
  /** Refusals that the log knows of: one line for each peer, kind and code. */
  readonly #refused = new Set<string>();
  readonly #forget: () => void;
  #scheduled = false;
  #closed = false;

  constructor(options: GovernanceGossipOptions) {
    this.#options = options;
    this.#forget = options.governance.book.onChange(() => this.#changed());
  }

  /** A peer's hello on a new connection. */
  met(party: number, hello: Versions): void {
    this.#theirs.set(party, hello);
  }

  /** Messages can be sent to a party: it gets what it lacks. */
  connected(party: number): void {
    const { book } = this.#options.governance;
    const theirs = this.#theirs.get(party);
    if (!theirs) return;
    for (const offer of book.offersFor(theirs)) {
      const { kind } = offer;
      if (kind !== 'proposal') this.#options.send(party, { type: 'offer', offer: { ...offer, kind } });
    }
    this.#theirs.set(party, newest(theirs, book.versions));
  }

  /** Takes what a peer offers. A refused object is told to the log, and the peer stays. */
  async take(from: number, offer: GovernanceOffer): Promise<void> {
    const { governance, timers, log, onFlood } = this.#options;
    if (this.#closed) return;
    if (!this.#rate.take(from, 1, timers.monotonicMs())) {
      onFlood(from);
      return;
    }
    try {
      const before = governance.book.versions;
      // The book has it when the call returns, and is durable later.
      const taken = governance.offer(offer);
      const after = governance.book.versions;
      const known = this.#theirs.get(from);
      if (known && isNewer(after, before)) this.#theirs.set(from, newest(known, after));
      const outcome = await taken;
      if (outcome !== 'known') log.info({ event: 'governance.heard', from, kind: offer.kind, outcome });
    } catch (err) {
      if (!isKmsError(err)) {
        // The vault's own failure, which the memory has told, too; nobody waits for this promise.
        log.error({ event: 'governance.not-taken', from, kind: offer.kind, err });
        return;
      }
      // Older than what was seen: two changes have overtaken each other, and this engine has told the peer of the newer.
      if (err.facts.seen !== undefined) return;
      const key = `${from} ${offer.kind} ${err.code}`;
      if (this.#refused.has(key)) return;
      this.#refused.add(key);
      log.warn({ event: 'governance.refused', from, kind: offer.kind, err });
    }
  }

  /** Sends and takes nothing more. */
  close(): void {
    this.#closed = true;
    this.#forget();
  }

  /** Several changes in a row, as of a record and a release set, go out together. */
  #changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.timers.soon(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      for (const party of this.#options.reachable()) this.connected(party);
    });
  }
}

function newest(a: Versions, b: Versions): Versions {
  return { record: Math.max(a.record, b.record), releases: Math.max(a.releases, b.releases) };
}

function isNewer(a: Versions, b: Versions): boolean {
  return a.record > b.record || a.releases > b.releases;
}
