/**
 * The backup vault of an engine that starts: a memory of the private vault first, before that is moved, and what follows it
 * afterwards. A memory that was away at the start is asked before the first copy. Holds no secret itself.
 */
import { charterDigest } from '../../attestation/governance/index.ts';
import type { KmsError } from '../../common/errors.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import type { SealedVault, VaultParts } from '../vault/open-vault.ts';
import { putBackFault, type Recall } from '../vault/remembered-vault.ts';
import { type BackupRecall, recallBackup } from './backup-memory.ts';
import type { OpenBackup, OpenedBackup } from './open-backup.ts';

/** See the file comment. */
export interface AttachedBackup {
  /** Opens it at the first call. @throws KmsError What opening throws. */
  open(): Promise<OpenedBackup>;
  /** What it remembers of the private vault. @throws KmsError As {@link recallBackup}, and what opening throws. */
  readonly recall: Recall;
  readonly comparison: Comparison;
  close(): Promise<void>;
}

/** Whether a vault that is open was compared with its backup. */
export interface Comparison {
  /** Why it was not, or not with all of it, for people; undefined: it was. */
  trouble(): string | undefined;
  /**
   * Compares if the backup was away at the start. A vault that was put back ends the engine.
   *
   * @throws KmsError `STATE_INVALID` if it was put back; what storage throws.
   */
  complete(vault: Pick<SealedVault, 'head' | 'found'>, key: NodeKey, incarnation: number): Promise<void>;
}

/** Attaches the backup vault of a configuration; it is opened when it is asked for. */
export function attachBackup(openBackup: OpenBackup, parts: VaultParts): AttachedBackup {
  const { charter, log, onLost } = parts;
  let opening: Promise<OpenedBackup> | undefined;
  const open = (): Promise<OpenedBackup> => {
    opening ??= openBackup(parts);
    return opening;
  };
  let last: BackupRecall | undefined;
  let putBack: KmsError | undefined;
  const ask = async (key: NodeKey) => {
    const { storage, ready } = await open();
    const owner = { charterDigest: charterDigest(charter), party: charter.party };
    last = await recallBackup(key, { storage, ready, owner, log });
    return last.remembered;
  };
  return {
    open,
    recall: ask,
    comparison: {
      trouble: () => last?.trouble,
      complete: async ({ head, found }, key, incarnation) => {
        if (putBack !== undefined) throw putBack;
        if (found === undefined || last?.isAway !== true) return;
        // What this very start has copied meanwhile is no memory of another.
        const others = (await ask(key)).filter((memory) => memory.incarnation !== incarnation);
        const why = putBackFault(found, others);
        if (why === undefined) return;
        await head.check();
        putBack = why;
        onLost(why);
        throw why;
      },
    },
    close: async () => (await opening?.catch(() => undefined))?.close(),
  };
}
