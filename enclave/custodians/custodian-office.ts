/**
 * The custodian contexts of a running node: made once governance has approved them, destroyed when they are no longer needed.
 * SECRET: a new backup key, while it is shared.
 *
 * A context is in force once the vault's book says so. What lies in the backup storage follows the book, and is put right at
 * the next start if a crash came in between. Spec: kms-service 1.6, 7.4.
 */
import { generateKeyPairSync, hash } from 'node:crypto';
import type { Clock } from '../../common/clock.ts';
import { isKmsError, KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { RandomSource } from '../../common/random.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import { DestroyCustodianContextRequestSchema } from '../../proto/gen/kms_pb.js';
import { encapsulationKeyOf, encodeKemPrivateKey } from '../../wire/custodian/kem-keys.ts';
import { shareBackupKey } from '../../wire/custodian/operator.ts';
import {
  type CustodianContext,
  openRecoveryMaterial,
  signRecoveryMaterial,
} from '../../wire/custodian/recovery-material.ts';
import type { RequestId } from '../../wire/ids.ts';
import { parseDestroyCustodianContext } from '../../wire/validate/custodian.ts';
import { decodeRequest } from '../decode-request.ts';
import type { GovernanceMemory } from '../governance/governance-memory.ts';
import type { BackupKey } from '../keychain/custodians.ts';
import type { PrivateVault } from '../vault/private-vault.ts';
import { materialDigest, STATEMENT_PATH, signStatement } from './active-statement.ts';
import type { CustodianBackup } from './custodian-backup.ts';
import { type CustodianBook, contextOf, type KeptContext, loadBook, saveBook, spentBook } from './custodian-book.ts';
import type { RecoverySource } from './recovery.ts';
import { type RequestedContext, readRequestedContext } from './requested-context.ts';

/** What the office needs. */
export interface OfficeDeps {
  readonly vault: Pick<PrivateVault, 'has' | 'read' | 'put'>;
  readonly key: Pick<NodeKey, 'publicKey' | 'signSha256'>;
  readonly governance: Pick<GovernanceMemory, 'requireApproval'>;
  readonly backup: CustodianBackup;
  readonly charterDigest: Uint8Array;
  readonly party: number;
  readonly random: RandomSource;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A custodian context, for people. */
export interface ShownContext extends Omit<KeptContext, 'material'> {
  readonly threshold: number;
  /** Names by number, from 1. */
  readonly custodians: readonly string[];
  readonly active: boolean;
}

/** See the file comment. One change at a time. */
export class CustodianOffice {
  readonly #deps: OfficeDeps;
  #book: CustodianBook;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(deps: OfficeDeps, book: CustodianBook) {
    this.#deps = deps;
    this.#book = book;
  }

  /**
   * Reads the book, has the backup go on under the context in force, and puts right what lies in the backup storage.
   *
   * @throws KmsError `STATE_INVALID` for a book that is damaged. That the backup storage is away is told to the log alone.
   */
  static async open(deps: OfficeDeps): Promise<CustodianOffice> {
    const office = new CustodianOffice(deps, await loadBook(deps.vault));
    deps.backup.use(office.backupKey());
    try {
      await office.#publish();
    } catch (err) {
      if (!isKmsError(err)) throw err;
      deps.log.warn({ event: 'custodians.not-published', err });
    }
    return office;
  }

  /** The key to back up under; undefined without a context, or when a recovery has used it up. */
  backupKey(): BackupKey | undefined {
    const active = contextOf(this.#book, this.#book.active);
    return active && !active.spent ? keyOf(this.#opened(active)) : undefined;
  }

  /** What a recovery begins with. Throws `PRECONDITION_FAILED` where there are no custodians. */
  recoverySource(): RecoverySource {
    const active = contextOf(this.#book, this.#book.active);
    if (active) return { material: active.material, verificationKey: this.#deps.key.publicKey };
    throw new KmsError('PRECONDITION_FAILED', 'this node has no custodian context');
  }

  /** Recovery material of all contexts, to be published. */
  materials(): readonly Pick<KeptContext, 'contextId' | 'material'>[] {
    return this.#book.contexts;
  }

  /** All contexts, for people. */
  contexts(): readonly ShownContext[] {
    return this.#book.contexts.map((kept) => {
      const { threshold, custodians } = this.#opened(kept);
      const { contextId, mpcContextId, createdMs, spent } = kept;
      const names = [...custodians.values()].map(({ name }) => name);
      const active = contextId === this.#book.active;
      return { contextId, mpcContextId, createdMs, spent, threshold, custodians: names, active };
    });
  }

  /**
   * Makes a context, shares a new backup key among its custodians and backs everything up under it. On failure all is as
   * before.
   *
   * @param body - kms.v1.NewCustodianContextRequest, as it came: governance approves its SHA-384.
   * @throws KmsError `REQUEST_INVALID`, `ALREADY_EXISTS`, `APPROVAL_MISSING` naming the proposal to be signed, `TASK_FAILED`
   *   for setup messages that cannot be used, or what vault and backup throw.
   */
  async create(body: Uint8Array): Promise<RequestId> {
    return await this.#alone(async () => {
      const { governance, backup, clock, log } = this.#deps;
      const requested = readRequestedContext(body, clock.nowMs());
      const { contextId } = requested;
      if (contextOf(this.#book, contextId)) {
        throw new KmsError('ALREADY_EXISTS', 'this custodian context exists', { contextId });
      }
      await governance.requireApproval('custodian-context', hash('sha384', body, 'buffer'));
      const before = this.backupKey();
      const { context, kept } = this.#make(requested);
      try {
        await backup.storage.put(['RecoveryMaterial', contextId], kept.material, { replace: true });
        backup.use(keyOf(context));
        await backup.settled();
        await this.#save({ active: contextId, contexts: [...this.#book.contexts, kept] });
      } catch (error) {
        await this.#undo(contextId, before);
        throw error;
      }
      await this.#publish();
      log.info({ event: 'custodians.context', contextId, custodians: context.custodians.size });
      return contextId;
    });
  }

  /**
   * Destroys a context that is not in force, with the backup under it.
   *
   * @param body - kms.v1.DestroyCustodianContextRequest.
   * @throws KmsError `NOT_FOUND`; `PRECONDITION_FAILED` for the only one, or the one in force.
   */
  async destroy(body: Uint8Array): Promise<RequestId> {
    return await this.#alone(async () => {
      const contextId = parseDestroyCustodianContext(decodeRequest(DestroyCustodianContextRequestSchema, body));
      const { backup, log } = this.#deps;
      const { active, contexts } = this.#book;
      if (!contextOf(this.#book, contextId)) {
        throw new KmsError('NOT_FOUND', 'this node knows no such custodian context', { contextId });
      }
      if (contextId === active) {
        const cure = 'make another before you destroy it';
        throw new KmsError('PRECONDITION_FAILED', `this custodian context is in force: ${cure}`, { contextId });
      }
      // What opens the backup goes last, so that a call that failed half way can be repeated.
      await backup.forget(contextId);
      await backup.storage.delete(['RecoveryMaterial', contextId]);
      await this.#save({ active, contexts: contexts.filter((context) => context.contextId !== contextId) });
      await this.#publish();
      log.info({ event: 'custodians.context-destroyed', contextId });
      return contextId;
    });
  }

  /** Notes that the key of a context was brought together: nothing more is sealed under it. */
  async spend(contextId: RequestId): Promise<void> {
    await this.#alone(async () => {
      await this.#save(spentBook(this.#book, contextId));
      if (contextId === this.#book.active) this.#deps.backup.use(undefined);
    });
  }

  #make(requested: RequestedContext): { readonly context: CustodianContext; readonly kept: KeptContext } {
    const { key: signer, random, clock } = this.#deps;
    const { mpcContextId, contextId, threshold, custodians } = requested;
    const { privateKey } = generateKeyPairSync('ml-kem-512');
    const context = { contextId, threshold, custodians, backupKey: encapsulationKeyOf(privateKey) };
    const secret = encodeKemPrivateKey(privateKey);
    try {
      const shared = shareBackupKey({ context, mpcContextId, secret, signer, random });
      const material = signRecoveryMaterial(shared, signer);
      return { context, kept: { contextId, mpcContextId, createdMs: clock.nowMs(), spent: false, material } };
    } finally {
      secret.fill(0);
    }
  }

  async #undo(contextId: RequestId, before: BackupKey | undefined): Promise<void> {
    const { backup, log } = this.#deps;
    backup.use(before);
    try {
      await backup.forget(contextId);
      await backup.storage.delete(['RecoveryMaterial', contextId]);
    } catch (err) {
      // Nothing names it: it only takes room until the id is used again.
      log.warn({ event: 'custodians.leftover', contextId, err });
    }
  }

  async #save({ active, contexts }: Omit<CustodianBook, 'sequence'>): Promise<void> {
    const book = { active, contexts, sequence: this.#book.sequence + 1 };
    await saveBook(this.#deps.vault, book);
    this.#book = book;
  }

  /** Puts into the backup storage what a recovery finds there: material first, then the statement that names it. */
  async #publish(): Promise<void> {
    const { backup, charterDigest, party, key } = this.#deps;
    const { active, sequence, contexts } = this.#book;
    const kept = contextOf(this.#book, active);
    if (kept === undefined) return;
    for (const { contextId, material } of contexts) {
      await backup.storage.put(['RecoveryMaterial', contextId], material, { replace: true });
    }
    const material = materialDigest(kept.material);
    const stated = { charterDigest, party, sequence, contextId: kept.contextId, material };
    await backup.storage.put(STATEMENT_PATH, signStatement(stated, key), { replace: true });
  }

  #opened({ material }: KeptContext): CustodianContext {
    return openRecoveryMaterial(material, this.#deps.key.publicKey).context;
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }
}

function keyOf({ contextId, backupKey }: CustodianContext): BackupKey {
  return { contextId, publicKey: backupKey };
}
