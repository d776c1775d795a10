/**
 * Opens the vaults of stopped developer nodes for an import: in clear for whole keys; for the vaults of another node also
 * sealed, so that all that comes in is sealed, signed and in the manifest. SECRET: what passes through them.
 */
import { resolve } from 'node:path';
import { readNodeFiles } from '../../attestation/node/node-files.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { fileVault } from '../../common/node-config-vaults.ts';
import type * as native from '../../native/engine/index.ts';
import { openFileStorage } from '../../storage/file-storage.ts';
import { PrivateVault } from '../vault/private-vault.ts';
import { type AttestedImport, type ImportProgram, readDeveloperConfig } from './attested-import.ts';
import type { ImportTarget, OpenedTarget } from './import-target.ts';

/** Settings of {@link openTarget}. */
export interface OpenTargetOptions extends Pick<ImportProgram, 'clearKeeper' | 'backupOf'> {
  /** Makes the key of a sealed vault that was never used: such a vault has one before it holds anything. */
  readonly firstKey: () => Promise<native.NodeKey>;
  readonly log: Logger;
}

/** Opens nodes whose vaults lie in clear. @throws KmsError `CONFIG_INVALID` for any other, or two with one vault. */
export async function openClearTargets(
  files: readonly string[],
  { clearKeeper, readAnchor }: ImportProgram,
): Promise<readonly ImportTarget[]> {
  const vaults = new Set<string>();
  const targets: ImportTarget[] = [];
  for (const name of files) {
    const config = readDeveloperConfig(name);
    if (config.private_vault.keychain) {
      throw new KmsError('CONFIG_INVALID', `${name}: sealed vaults take no whole key`);
    }
    const { charter } = await readNodeFiles(config, await readAnchor(config));
    const secret = fileVault(config.private_vault, 'private_vault');
    const place = resolve(secret.path, secret.prefix);
    if (vaults.has(place)) throw new KmsError('CONFIG_INVALID', `${name}: another node has the private vault ${place}`);
    vaults.add(place);
    targets.push(await openClear(config, { name, party: charter.party }, { clearKeeper }));
  }
  return targets;
}

/**
 * Opens the node of an import, whose vault is sealed or in clear, as its configuration has it.
 *
 * @throws KmsError `STATE_INVALID` for a vault that has to be restored first; what vault and storage throw.
 */
export async function openTarget(attested: AttestedImport, options: OpenTargetOptions): Promise<OpenedTarget> {
  const { config, file: name } = attested;
  const { charter } = await attested.files();
  const who = { name, party: charter.party };
  if (config.private_vault.keychain) {
    // Loaded on demand: vaults in clear need no client of AWS.
    const { openSealedTarget } = await import('./open-sealed-target.ts');
    const { firstKey, log } = options;
    const files = await attested.files();
    const openBackup = await options.backupOf(config, log);
    const engine = await attested.engine();
    return await openSealedTarget({ config, name, files, ...engine, firstKey, openBackup, log });
  }
  return { ...(await openClear(config, who, options)), [Symbol.asyncDispose]: async () => undefined };
}

async function openClear(
  config: NodeConfig,
  who: Pick<ImportTarget, 'name' | 'party'>,
  { clearKeeper }: Pick<ImportProgram, 'clearKeeper'>,
): Promise<ImportTarget> {
  const secret = fileVault(config.private_vault, 'private_vault');
  const open = fileVault(config.public_vault, 'public_vault');
  const storage = await openFileStorage({ root: secret.path, prefix: secret.prefix, folderMode: 0o700 });
  return {
    ...who,
    threshold: config.threshold !== undefined,
    vault: new PrivateVault(clearKeeper(storage)),
    publicVault: await openFileStorage({ root: open.path, prefix: open.prefix, folderMode: 0o755 }),
  };
}
