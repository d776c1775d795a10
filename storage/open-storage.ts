/**
 * Opens what keeps a vault, as the configuration has it: files, or S3 in the region of `[aws]`.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConnectingOptions } from '../common/connecting-agents.ts';
import { KmsError, systemErrorCode } from '../common/errors.ts';
import type { Logger } from '../common/log.ts';
import type { AwsConfig } from '../common/node-config-aws.ts';
import type { VaultStorage } from '../common/node-config-vaults.ts';
import { awsCredentials, type CredentialsSource } from './aws-credentials.ts';
import { openFileStorage } from './file-storage.ts';
import type { ObjectPath, Storage } from './storage.ts';

/** A vault's back end, opened by its one writer. */
export interface OpenedStorage {
  readonly storage: Storage;
  /** For people, clients among them: `file storage, prefix PUB`. */
  readonly description: string;
  /** Tells one state of an object from another without reading it; undefined where there is none. */
  stamp(path: ObjectPath): Promise<string | undefined>;
  close(): void;
}

/** What the configuration says beside the vault's own section, and what the process brings along. */
export interface OpenStorageOptions extends ConnectingOptions {
  readonly aws: AwsConfig | undefined;
  /** Permissions of a vault in files: `0o700` for a private one. */
  readonly folderMode: number;
  readonly log: Logger;
  /** Those of `[aws]` unless others are given; `anonymous` reads what anyone may, and writes nothing. */
  readonly credentials?: CredentialsSource | 'anonymous' | undefined;
  /** S3: nothing is written, not even what shows that the server keeps to conditions. */
  readonly readOnly?: boolean;
}

/**
 * Opens a vault.
 *
 * @throws {@link KmsError} as `openFileStorage` and `openS3Storage`, each with its cure.
 */
export async function openVaultStorage(
  { file, s3 }: VaultStorage,
  options: OpenStorageOptions,
): Promise<OpenedStorage> {
  if (s3) return await openInS3(s3, options);
  if (!file) throw new KmsError('CONFIG_INVALID', 'a vault needs exactly one of file and s3');
  const root = join(file.path, file.prefix);
  const storage = await openFileStorage({ root: file.path, prefix: file.prefix, folderMode: options.folderMode });
  return {
    storage,
    description: `file storage, prefix ${file.prefix}`,
    stamp: (path) => stampOfFile(join(root, ...path)),
    close: () => {},
  };
}

async function openInS3(
  { bucket, prefix }: NonNullable<VaultStorage['s3']>,
  { aws, credentials, readOnly, log, connect, ca }: OpenStorageOptions,
): Promise<OpenedStorage> {
  if (!aws) throw new KmsError('CONFIG_INVALID', 'a vault in S3 needs [aws]');
  const { region, developer_s3_endpoint: endpoint } = aws;
  // Loaded on demand: a vault in files needs no client of AWS.
  const { openS3Storage } = await import('./s3/s3-storage.ts');
  const storage = await openS3Storage(
    {
      bucket,
      prefix,
      region,
      credentials: credentials ?? awsCredentials(aws, { connect, ca }),
      ...(readOnly === undefined ? {} : { readOnly }),
      ...(endpoint === undefined ? {} : { developer: { endpoint } }),
      ...(connect && { connect }),
      ...(ca && { ca }),
    },
    { log },
  );
  return {
    storage,
    description: `S3 storage, bucket ${bucket}, prefix ${prefix}`,
    stamp: (path) => storage.stamp(path),
    close: () => storage.close(),
  };
}

/** Size, times and inode: a change of content cannot leave the change time as it was. */
async function stampOfFile(path: string): Promise<string | undefined> {
  try {
    const file = await stat(path, { bigint: true });
    return file.isFile() ? `${file.size}:${file.mtimeNs}:${file.ctimeNs}:${file.ino}` : undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
