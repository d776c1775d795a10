/** The backup vault that a configuration describes: its storage, and what seals in it. Holds no secret itself. */
import type { ConnectingOptions } from '../../common/connecting-agents.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { NodeConfig } from '../../common/node-config.ts';
import type { BackupKeychain } from '../../common/node-config-vaults.ts';
import { awsCredentials } from '../../storage/aws-credentials.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import { AWS_KMS } from '../keychain/aws-kms.ts';
import { openAwsRootKey } from '../keychain/aws-root-key.ts';
import type { DataKeyring } from '../keychain/data-keys.ts';
import type { VaultParts } from '../vault/open-vault.ts';
import { partyInRecord } from '../vault/party-in-record.ts';
import { openLate } from './late-storage.ts';
import type { OpenBackup, SealingKey } from './open-backup.ts';
import { folderOfRootKey } from './storage-below.ts';

/** What the program decides. */
export interface ConfiguredBackup extends ConnectingOptions {
  readonly log: Logger;
  /** The keychain `clear`; only programs of developer mode have it. */
  readonly clear?: DataKeyring | undefined;
}

/** Returns how the backup vault of a configuration is opened; undefined if it has none. */
export function configuredBackup(
  config: NodeConfig,
  { log, connect, ca, clear }: ConfiguredBackup,
): OpenBackup | undefined {
  const { aws, backup_vault: section, developer_mode: developerMode } = config;
  if (section === undefined) return undefined;
  return async (parts) => {
    const credentials = aws && awsCredentials(aws, { connect, ca });
    const open = async () =>
      await openVaultStorage(section.storage, { aws, folderMode: 0o700, log, credentials, connect, ca });
    const opened = await openLate(open, (err) => log.error({ event: 'backup.storage-away', err }));
    const { storage, ready } = opened;
    try {
      const key = keyOf(section.keychain, { config, parts, log, connect, ca, clear });
      return { storage, ready, key, needsFence: !developerMode, close: () => opened.close() };
    } catch (error) {
      opened.close();
      throw error;
    }
  };
}

interface KeyParts extends ConfiguredBackup {
  readonly config: NodeConfig;
  readonly parts: VaultParts;
}

function keyOf(keychain: BackupKeychain, { config, parts, log, connect, ca, clear }: KeyParts): SealingKey | undefined {
  if (keychain.custodians !== undefined) return undefined;
  if (keychain.aws_kms === undefined) {
    if (clear === undefined) throw new KmsError('CONFIG_INVALID', 'backup_vault.keychain.clear is for developer mode');
    return { folder: clear.name, keychain: clear.name, keyring: async () => clear };
  }
  const { aws } = config;
  if (aws === undefined) throw new KmsError('CONFIG_INVALID', 'backup_vault.keychain.aws_kms needs [aws]');
  const inRecord = partyInRecord(parts);
  const arn = inRecord.aws?.backupKeyId;
  if (arn === undefined) {
    const { party } = parts.charter;
    const cure = `arca record propose --root-key ${party}=ARN,ARN-FOR-BACKUPS`;
    throw new KmsError('STATE_INVALID', `the governed record names no key for backups for party ${party}: ${cure}`);
  }
  const how = {
    aws,
    rootKeySpec: keychain.aws_kms.root_key_spec,
    credentials: awsCredentials(aws, { connect, ca }),
    connect,
    ca,
  };
  const { nsm, charter, document } = parts;
  const user = { nsm, charter, releases: inRecord.releases, pcrs: document.pcrs, log };
  return {
    folder: folderOfRootKey(arn),
    keychain: AWS_KMS,
    keyring: once(async () => (await openAwsRootKey(inRecord.aws, 'backupKeyId', how, user)).keyring),
  };
}

/** Keeps what was opened; what failed is opened again when it is asked for the next time. */
function once<T>(open: () => Promise<T>): () => Promise<T> {
  let known: Promise<T> | undefined;
  return async () => {
    known ??= open().catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return await known;
  };
}
