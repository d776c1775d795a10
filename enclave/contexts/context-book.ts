/**
 * The contexts that this node knows: the default one, which the governed record names, and those in the vault.
 *
 * A context is there once it is durable, and gone once its object is. Nothing here is secret.
 */
import type { GovernanceBook, GovernedRecord } from '../../attestation/governance/index.ts';
import { KmsError } from '../../common/errors.ts';
import { idFromBytes, type RequestId } from '../../wire/ids.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import type { Context } from './contexts.ts';
import { governedContext, thresholdOf } from './governed-context.ts';
import { decodeContext, encodeContext, type StoredContext } from './stored-context.ts';

/** See the file comment. */
export class ContextBook {
  readonly #vault: PrivateVault;
  readonly #governance: GovernanceBook;
  readonly #stored = new Map<RequestId, StoredContext>();

  private constructor(vault: PrivateVault, governance: GovernanceBook) {
    this.#vault = vault;
    this.#governance = governance;
  }

  /**
   * Reads the contexts of a vault.
   *
   * @throws KmsError `STATE_INVALID` naming a damaged object, or if the governed record names no quorum.
   */
  static async load(vault: PrivateVault, governance: GovernanceBook): Promise<ContextBook> {
    const book = new ContextBook(vault, governance);
    for (const id of await vault.listNode('Context')) {
      const stored = await vault.read(['Context', id], (content) => {
        const context = decodeContext(content);
        if (context.contextId !== id) throw new KmsError('STATE_INVALID', 'it holds another id');
        return context;
      });
      book.#stored.set(id, stored);
    }
    governedContext(book.record, governance.charter.party);
    return book;
  }

  /** The governed record in force. */
  get record(): GovernedRecord {
    const record = this.#governance.record?.body;
    if (!record) throw new KmsError('STATE_INVALID', 'no governed record is in force');
    return record;
  }

  /** This node's number. */
  get me(): number {
    return this.#governance.charter.party;
  }

  /** Id of the context that the governed record names. */
  get defaultId(): RequestId {
    return idFromBytes(this.record.context, 'context');
  }

  /** Whether the context that the record names was destroyed here. */
  get isDefaultDestroyed(): boolean {
    return this.#stored.get(this.defaultId)?.nodes.length === 0;
  }

  /** All contexts, the default one first. */
  all(): readonly Context[] {
    const { defaultId } = this;
    const kept = this.#stored.get(defaultId)?.nodes.length;
    const governed = kept === 0 ? undefined : this.#governed();
    // It follows the record, but for the number of its parties once that is kept.
    const followed = governed && (kept ?? governed.nodes.length) === governed.nodes.length ? [governed] : [];
    const stored = [...this.#stored.values()].filter(({ contextId, nodes }) => {
      return nodes.length > 0 && (followed.length === 0 || contextId !== defaultId);
    });
    return [...followed, ...stored.map((context) => this.#complete(context))];
  }

  /**
   * Returns a context.
   *
   * @throws KmsError `NOT_FOUND`.
   */
  require(contextId: RequestId): Context {
    const found = this.all().find((context) => context.contextId === contextId);
    if (!found) throw new KmsError('NOT_FOUND', 'no such context on this node', { contextId });
    return found;
  }

  /** Throws `ALREADY_EXISTS` if there is a context of this id. */
  requireNew(contextId: RequestId): void {
    if (this.all().some((context) => context.contextId === contextId)) {
      throw new KmsError('ALREADY_EXISTS', 'a context of this id exists already', { contextId });
    }
  }

  /** Writes a context, which is there from then on. */
  async add({ contextId, nodes }: Context): Promise<void> {
    await this.#keep({ contextId, nodes });
  }

  /** Keeps a context that has an epoch: the default one is there then, of as many parties, whatever the record says later. */
  async pin({ contextId, nodes }: Context): Promise<void> {
    if (!this.#stored.has(contextId)) await this.#keep({ contextId, nodes });
  }

  /** Erases a context. Of the default one it is kept that it was destroyed, for it would be back at the next start. */
  async remove(contextId: RequestId): Promise<void> {
    if (contextId === this.defaultId) {
      await this.#keep({ contextId, nodes: [] });
      return;
    }
    await this.#vault.delete(['Context', contextId]);
    this.#stored.delete(contextId);
  }

  async #keep(context: StoredContext): Promise<void> {
    await this.#vault.put(['Context', context.contextId], encodeContext(context), { replace: true });
    this.#stored.set(context.contextId, context);
  }

  #governed(): Context | undefined {
    return governedContext(this.record, this.me);
  }

  #complete({ contextId, nodes }: StoredContext): Context {
    const endpoints = new Map(this.record.parties.map(({ party, endpoint }) => [party, endpoint]));
    return {
      contextId,
      t: thresholdOf(nodes.length) ?? 0,
      nodes: nodes.map((node) => ({ ...node, endpoint: endpoints.get(node.party) ?? '' })),
      party: nodes.some(({ party }) => party === this.me) ? this.me : 0,
    };
  }
}
