/**
 * Opens the sealed vaults of a stopped node for an import, so that all that comes in is sealed, signed and in the manifest.
 * SECRET: what passes through them.
 */
import type { Nsm } from '../../attestation/attester/attester.ts';
import type { VerifiedDocument } from '../../attestation/document/index.ts';
import type { NodeFiles } from '../../attestation/node/node-files.ts';
import { systemClock } from '../../common/clock.ts';
import type { ConnectingOptions } from '../../common/connecting-agents.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import * as native from '../../native/engine/index.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import { attachBackup } from '../backup/attached-backup.ts';
import type { OpenBackup } from '../backup/open-backup.ts';
import type { Recall } from '../vault/remembered-vault.ts';
import { configuredVault } from '../vault/vault-of-config.ts';
import type { OpenedTarget } from './import-target.ts';

/** What they are opened with. */
export interface SealedTargetOptions extends ConnectingOptions {
  readonly config: NodeConfig;
  /** For people: which node it is. */
  readonly name: string;
  readonly files: NodeFiles;
  /** The charter is bound, and all registers are locked. */
  readonly nsm: Nsm;
  readonly document: VerifiedDocument;
  /** Makes the key of a vault that was never used: such a vault has one before it holds anything. */
  readonly firstKey: () => Promise<native.NodeKey>;
  /** The backup vault, if it has one: it remembers what was there. */
  readonly openBackup: OpenBackup | undefined;
  readonly log: Logger;
}

/**
 * See the file comment.
 *
 * @throws KmsError `STATE_INVALID` for a vault that has to be restored first, or was put back; `UNAVAILABLE` if its backup cannot
 *   be asked; what vault and storage throw.
 */
export async function openSealedTarget(options: SealedTargetOptions): Promise<OpenedTarget> {
  const { config, name, files, nsm, document, openBackup, log, connect, ca } = options;
  const held = new AsyncDisposableStack();
  try {
    let hasAdopted = false;
    const firstKey = async (): Promise<native.NodeKey> => {
      hasAdopted = true;
      return await options.firstKey();
    };
    const onLost = (err: KmsError): void => log.error({ event: 'import.lost', err }, 'another server has taken over');
    const parts = { native, nsm, document, ...files, onLost, clock: systemClock, log };
    const backup = openBackup && attachBackup(openBackup, parts);
    held.defer(() => backup?.close());
    const recall: Recall = async (key) => {
      const remembered = (await backup?.recall(key)) ?? [];
      const trouble = backup?.comparison.trouble();
      // A start may go on without an answer, since it compares later; an import moves the vault on, and is over.
      if (trouble !== undefined) throw new KmsError('UNAVAILABLE', `nothing moves in unseen by the backup: ${trouble}`);
      return remembered;
    };
    const opened = await configuredVault(config, { log, firstKey, connect, ca })({ ...parts, recall });
    held.defer(() => opened.close());
    if ('lost' in opened) throw opened.lost.putBack?.why ?? gone();
    held.defer(() => opened.key?.dispose());
    const { aws } = config;
    const open = await openVaultStorage(config.public_vault.storage, { aws, folderMode: 0o755, log, connect, ca });
    held.defer(() => open.close());
    return {
      name,
      party: files.charter.party,
      threshold: config.threshold !== undefined,
      vault: opened.vault,
      publicVault: open.storage,
      hasAdopted,
      [Symbol.asyncDispose]: () => held.disposeAsync(),
    };
  } catch (error) {
    await held.disposeAsync();
    throw error;
  }
}

function gone(): KmsError {
  return new KmsError('STATE_INVALID', 'the private vault is gone: restore it first');
}
