/** What a quorum is asked for, and what it says of itself. */
import type { CiphertextItem } from '../../native/engine/index.ts';
import type { FaultLedger } from './fault-ledger.ts';
import type { OpenDecryption, OpenZeros, PartialDecrypt } from './kernels.ts';
import type { MaskedItems } from './masked-blocks.ts';
import type { OutboxCounts } from './outbox.ts';
import type { QuorumLimits } from './quorum-limits.ts';
import type { QuorumLinks, QuorumTimers } from './quorum-links.ts';
import type { RequestName } from './request-name.ts';

/** Settings of a quorum. */
export interface QuorumOptions {
  readonly me: number;
  readonly n: number;
  readonly t: number;
  readonly links: QuorumLinks;
  readonly timers: QuorumTimers;
  readonly open: OpenDecryption;
  readonly ledger: FaultLedger;
  readonly limits?: Partial<QuorumLimits>;
  /** Told once for each epoch under which so many blocks were masked that it should be replaced. */
  readonly onManyMasked?: (epochId: string, blocks: number) => void;
}

/** A decryption for everyone. */
export interface PublicJob {
  readonly name: RequestName;
  readonly masked: MaskedItems;
  /** Borrowed until the promise settles. */
  readonly items: readonly CiphertextItem[];
  readonly partialDecrypt: PartialDecrypt;
}

/** A decryption for one user. */
export interface UserJob<T> {
  readonly name: RequestName;
  readonly masked: MaskedItems;
  readonly items: readonly CiphertextItem[];
  /** Makes what the user gets of some of the items, in their order; runs while the quorum is asked. */
  readonly seal: (items: readonly CiphertextItem[]) => Promise<readonly T[]>;
}

/** An opening of zero: shows that all parties hold shares of one key, and mask with the keys of one set-up. */
export interface EpochCheck {
  readonly name: RequestName;
  readonly epochId: string;
  /** Makes this party's shares; always the same. */
  readonly zeroShares: () => Promise<Uint8Array>;
  readonly openZeros: OpenZeros;
}

/** What a quorum holds and has done. */
export interface QuorumStats {
  /** Requests that wait for approval or shares. */
  readonly pending: number;
  /** Requests remembered, waiting or ended. */
  readonly remembered: number;
  readonly keptSharesBytes: number;
  /** Entries that came for no request of this engine. */
  readonly unknown: number;
  readonly sent: OutboxCounts;
  /** Requests that were opened. */
  readonly publicDecryptions: number;
  /** Requests that were approved and answered. */
  readonly userDecryptions: number;
  /** Distinct blocks that were masked, by epoch. */
  readonly maskedBlocks: ReadonlyMap<string, number>;
}
