/**
 * The epochs that this node holds: read from the vault at start and kept in step with it.
 *
 * Mask keys are secret: they pass through JavaScript between a set-up or the vault and native memory, in buffers of their
 * own that are wiped. Nothing reads them here.
 */
import { KmsError } from '../../common/errors.ts';
import { MaskKeys } from '../../native/engine/index.ts';
import type { RequestId } from '../../wire/ids.ts';
import type { PrssKeys } from '../mpc/protocols/prss-setup.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import type { ContextBook } from './context-book.ts';
import type { Context, Epoch } from './contexts.ts';
import { decodeEpochData, type EpochData, encodeEpochData } from './epoch-data.ts';
import type { Quorums } from './quorums.ts';

/** What mask keys are made of. */
export type MaskKeySource = Pick<EpochData, 'n' | 't' | 'party' | 'keys'>;

/** What the book is loaded with. */
export interface EpochBookOptions {
  readonly vault: PrivateVault;
  readonly contexts: ContextBook;
  readonly quorums: Quorums;
  /** Takes keys into native memory; another function than the default makes a party that lies. */
  readonly masksOf?: ((source: MaskKeySource) => MaskKeys) | undefined;
}

/** An epoch with what is known of its set-up. */
export interface HeldEpoch extends Epoch {
  readonly setUpId: Uint8Array;
  /** False for the default epoch until all parties have stored it. */
  readonly settled: boolean;
}

/** See the file comment. */
export class EpochBook {
  readonly #options: EpochBookOptions;
  readonly #epochs = new Map<RequestId, HeldEpoch>();

  private constructor(options: EpochBookOptions) {
    this.#options = options;
  }

  /**
   * Reads the epochs of a vault.
   *
   * @throws KmsError `STATE_INVALID` naming the first object that is damaged or does not belong here.
   */
  static async load(options: EpochBookOptions): Promise<EpochBook> {
    const book = new EpochBook(options);
    const { vault, contexts } = options;
    try {
      for (const epochId of await vault.listNode('EpochData')) {
        await vault.read(['EpochData', epochId], (content) => {
          const { data, context } = readEpoch(content, contexts);
          book.#hold(epochId, context, data);
        });
      }
      for (const { settled, context } of book.all()) if (settled) await contexts.pin(context);
      return book;
    } catch (error) {
      book.close();
      throw error;
    }
  }

  /** All epochs. */
  all(): readonly HeldEpoch[] {
    return [...this.#epochs.values()];
  }

  /** Returns an epoch, or undefined. */
  find(epochId: RequestId): HeldEpoch | undefined {
    return this.#epochs.get(epochId);
  }

  /** Writes the outcome of a set-up, and holds it once it is durable. The caller wipes the keys. */
  async add(
    epochId: RequestId,
    context: Context,
    outcome: { readonly setUpId: Uint8Array; readonly prss: PrssKeys; readonly settled: boolean },
  ): Promise<void> {
    const { prss, setUpId, settled } = outcome;
    const { n, t, party, keys } = prss;
    const data: EpochData = { contextId: context.contextId, n, t, party, setUpId, settled, keys };
    if (settled) await this.#options.contexts.pin(context);
    await this.#put(epochId, data, false);
    this.#hold(epochId, context, data);
  }

  /** Writes that all parties hold an epoch. */
  async settle(epochId: RequestId): Promise<void> {
    const held = this.#epochs.get(epochId);
    if (!held) return;
    await this.#options.contexts.pin(held.context);
    const path = ['EpochData', epochId] as const;
    await this.#options.vault.read(path, (content) =>
      this.#put(epochId, { ...decodeEpochData(content), settled: true }, true),
    );
    this.#epochs.set(epochId, { ...held, settled: true });
  }

  /** Erases an epoch from the vault and from memory. */
  async remove(epochId: RequestId): Promise<void> {
    await this.#options.vault.delete(['EpochData', epochId]);
    this.#epochs.get(epochId)?.masks.dispose();
    this.#epochs.delete(epochId);
  }

  /** Wipes all mask keys. */
  close(): void {
    for (const { masks } of this.#epochs.values()) masks.dispose();
    this.#epochs.clear();
  }

  async #put(epochId: RequestId, data: EpochData, replace: boolean): Promise<void> {
    const encoded = encodeEpochData(data);
    try {
      await this.#options.vault.put(['EpochData', epochId], encoded, { replace });
    } finally {
      encoded.fill(0);
    }
  }

  #hold(epochId: RequestId, context: Context, data: EpochData): void {
    const { quorums, masksOf = (source: MaskKeySource) => MaskKeys.fromKeys(source) } = this.#options;
    const { contextId, setUpId, settled, n, t, party, keys } = data;
    const masks = masksOf({ n, t, party, keys });
    this.#epochs.set(epochId, { contextId, epochId, context, masks, quorum: quorums.of(context), setUpId, settled });
  }
}

/**
 * Reads an epoch of a vault. Keys are views of `content`.
 *
 * @throws KmsError as `decodeEpochData`; `STATE_INVALID` if it is of no context that is known here, or not of this party.
 */
export function readEpoch(
  content: Uint8Array,
  contexts: Pick<ContextBook, 'all'>,
): { readonly data: EpochData; readonly context: Context } {
  const data = decodeEpochData(content);
  const context = contexts.all().find(({ contextId }) => contextId === data.contextId);
  if (!context) throw new KmsError('STATE_INVALID', 'its context is not known here');
  if (data.party !== context.party || data.n !== context.nodes.length) {
    throw new KmsError('STATE_INVALID', 'it was made for another party or another number of parties');
  }
  return { data, context };
}
