/**
 * The quorum of each context: one channel of frames to the other engines, shared by all epochs of the context.
 */
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { PeerChannel, PeerNetwork } from '../peers/peer-network.ts';
import type { OpenDecryption } from '../threshold/kernels.ts';
import { Quorum } from '../threshold/quorum.ts';
import { systemQuorumTimers } from '../threshold/quorum-links.ts';
import type { Context, EpochMaskCount, QuorumCounts } from './contexts.ts';

/** What quorums are made with. */
export interface QuorumsOptions {
  readonly network: Pick<PeerNetwork, 'channel' | 'ledger'>;
  readonly open: OpenDecryption;
  readonly clock: Clock;
  readonly log: Logger;
}

/** See the file comment. */
export class Quorums {
  readonly #options: QuorumsOptions;
  readonly #open = new Map<RequestId, { readonly quorum: Quorum; readonly channel: PeerChannel }>();

  constructor(options: QuorumsOptions) {
    this.#options = options;
  }

  /** Returns the quorum of a context that this node is part of. */
  of({ contextId, nodes, t, party }: Context): Quorum {
    const known = this.#open.get(contextId);
    if (known) return known.quorum;
    const { network, open, clock, log } = this.#options;
    const channel = network.channel(`quorum/${contextId}`);
    const timers = systemQuorumTimers(() => clock.monotonicMs());
    const quorum = new Quorum({
      me: party,
      n: nodes.length,
      t,
      links: channel,
      timers,
      open,
      ledger: network.ledger,
      onManyMasked: (epochId, blocks) => {
        const facts = { event: 'quorum.masks', contextId, epochId, blocks };
        log.warn(facts, 'the epoch has masked too many blocks: replace it');
      },
    });
    this.#open.set(contextId, { quorum, channel });
    return quorum;
  }

  /** Ends a context's quorum: what waits in it fails, and nothing more is sent. */
  end(contextId: RequestId): void {
    const known = this.#open.get(contextId);
    this.#open.delete(contextId);
    known?.quorum.close();
    known?.channel.close();
  }

  /** What all of them hold and have done. */
  stats(): QuorumCounts {
    const sum = { ...NO_COUNTS };
    const masks: EpochMaskCount[] = [];
    for (const [contextId, { quorum }] of this.#open) {
      const { sent, maskedBlocks, ...counts } = quorum.stats();
      sum.pending += counts.pending;
      sum.remembered += counts.remembered;
      sum.keptSharesBytes += counts.keptSharesBytes;
      sum.unknown += counts.unknown;
      sum.framesSent += sent.frames;
      sum.bytesSent += sent.bytes;
      sum.dropped += sent.dropped;
      sum.publicDecryptions += counts.publicDecryptions;
      sum.userDecryptions += counts.userDecryptions;
      for (const [epochId, blocks] of maskedBlocks) masks.push({ contextId, epochId, blocks });
    }
    return { ...sum, masks };
  }

  /** Ends all. */
  close(): void {
    for (const contextId of [...this.#open.keys()]) this.end(contextId);
  }
}

const NO_COUNTS: { -readonly [Name in Exclude<keyof QuorumCounts, 'masks'>]: number } = {
  pending: 0,
  remembered: 0,
  keptSharesBytes: 0,
  unknown: 0,
  framesSent: 0,
  bytesSent: 0,
  dropped: 0,
  publicDecryptions: 0,
  userDecryptions: 0,
};
