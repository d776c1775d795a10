/** The work on key shares that a quorum is asked for: counted by epoch, and done in turns that are fair to all requests. */
import { availableParallelism } from 'node:os';
import type { CiphertextItem } from '../../native/engine/index.ts';
import { FairTurns, partsOf } from './fair-turns.ts';
import { MaskedBlocks, type MaskedItems } from './masked-blocks.ts';

/** See the file comment. */
export class Masking {
  readonly #blocks: MaskedBlocks;
  /** Enough that native work can be gathered, and so few that whoever comes waits no longer than some milliseconds. */
  readonly #turns = new FairTurns(8 * availableParallelism());

  /** @param onMany - Told once of each epoch under which too much was masked. */
  constructor(onMany: (epochId: string, blocks: number) => void = () => undefined) {
    this.#blocks = new MaskedBlocks(onMany);
  }

  /** Distinct blocks that were masked, by epoch. */
  get blocks(): ReadonlyMap<string, number> {
    return new Map(this.#blocks.counts);
  }

  /** Counts what is masked, and does the work on it in parts; results stand in the order of the items. */
  async run<T>(
    masked: MaskedItems,
    items: readonly CiphertextItem[],
    work: (items: readonly CiphertextItem[]) => Promise<readonly T[]>,
  ): Promise<T[]> {
    this.#blocks.add(masked);
    return await this.#turns.runAll(partsOf(items), work);
  }
}
