/** The sealed vault that a configuration describes: its storage, and AWS KMS as its keychain. Holds no secret itself. */
import { parseVaultPoint } from '../../attestation/node/kept-head.ts';
import type { ConnectingOptions } from '../../common/connecting-agents.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import { awsCredentials } from '../../storage/aws-credentials.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import { openAwsRootKey } from '../keychain/aws-root-key.ts';
import type { OpenVault } from './open-vault.ts';
import { type SealedVaultOptions, sealedVault } from './sealed-vault.ts';

/** What the program decides. */
export interface ConfiguredVault extends ConnectingOptions {
  readonly log: Logger;
  /** Makes the node's key for a vault that was never used; a new one unless given. */
  readonly firstKey?: SealedVaultOptions['firstKey'];
}

/**
 * Returns how the private vault of a configuration with a keychain is opened.
 *
 * @throws KmsError `CONFIG_INVALID` for a configuration without keychain.
 */
export function configuredVault(config: NodeConfig, { log, connect, ca, firstKey }: ConfiguredVault): OpenVault {
  const { aws, private_vault: section, developer_mode: developerMode } = config;
  const kms = section.keychain?.aws_kms;
  if (kms === undefined || aws === undefined) {
    throw new KmsError(
      'CONFIG_INVALID',
      'private_vault.keychain is missing: this program keeps nothing in clear; set aws_kms',
    );
  }
  return async (parts) => {
    const credentials = awsCredentials(aws, { connect, ca });
    const opened = await openVaultStorage(section.storage, { aws, folderMode: 0o700, log, credentials, connect, ca });
    const open = sealedVault({
      storage: opened.storage,
      close: () => opened.close(),
      needsFence: !developerMode,
      firstKey,
      hasBackup: config.backup_vault !== undefined,
      remembered: section.pin === undefined ? undefined : parseVaultPoint(section.pin),
      rootKey: async (inRecord, { nsm, charter, document: { pcrs } }) => {
        const how = { aws, rootKeySpec: kms.root_key_spec, credentials, connect, ca };
        return openAwsRootKey(inRecord.aws, 'primaryKeyId', how, {
          nsm,
          charter,
          releases: inRecord.releases,
          pcrs,
          log,
        });
      },
    });
    return await open(parts);
  };
}
