/**
 * The checks of `arca doctor` on what a node has in AWS, in the order in which its start needs it: credentials, buckets, keys.
 *
 * Buckets are tried as the node's own start tries them: an object is written, found fenced and removed. Keys are looked at, and
 * judged by the rules by which the engine judges them; only an attested engine can use one.
 */
import {
  decodeCharter,
  engineReleases,
  pcr16Of,
  verifyRecord,
  verifyReleaseSet,
} from '../../../attestation/governance/index.ts';
import { awsEndpoint } from '../../../common/aws/connection.ts';
import { judgeKmsFailure } from '../../../common/aws/kms-failure.ts';
import { connectingAgents } from '../../../common/connecting-agents.ts';
import { isKmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import type { VaultStorage } from '../../../common/node-config-vaults.ts';
import { awsCredentials } from '../../../storage/aws-credentials.ts';
import { type OpenStorageOptions, openVaultStorage } from '../../../storage/open-storage.ts';
import { SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { lintKeyPolicy } from '../../../wire/key-policy/lint.ts';
import { failure } from '../framework/failure.ts';
import { readIfThere, readOf } from '../supervise/developer-trust.ts';
import { authoritiesOf } from './enclave-checks.ts';

/** One check on a node's configuration: returns what it found. */
export interface AwsCheck {
  readonly name: string;
  run(config: NodeConfig): Promise<string>;
}

/** All checks, each after those it builds upon. */
export const AWS_CHECKS: readonly AwsCheck[] = [
  { name: 'AWS credentials', run: checkCredentials },
  { name: 'public bucket', run: (config) => checkBucket(config, config.public_vault) },
  { name: 'readers of the public bucket', run: checkReaders },
  { name: 'private bucket', run: (config) => checkBucket(config, config.private_vault) },
  { name: 'private root key', run: (config) => checkKey(config, 'primaryKeyId') },
  {
    name: 'backup bucket',
    run: async (config) => (config.backup_vault ? await checkBucket(config, config.backup_vault) : 'no backup vault'),
  },
  { name: 'backup root key', run: (config) => checkKey(config, 'backupKeyId') },
];

/** Nothing that is tried here is worth a line of its own; the failure is told. */
const QUIET = createLogger({ name: 'doctor', level: 'silent' });
const TIMEOUT_MS = 10_000;

async function checkCredentials(config: NodeConfig): Promise<string> {
  const { aws } = config;
  if (!aws) return 'not used: nothing of this node is in AWS';
  const { accessKeyId } = await awsCredentials(aws, { ca: await authoritiesOf(config) })();
  return `access key ${accessKeyId}, region ${aws.region}`;
}

async function checkBucket(config: NodeConfig, { storage }: { readonly storage: VaultStorage }): Promise<string> {
  if (!storage.s3) return 'not in S3';
  const opened = await openVaultStorage(storage, await storageOptions(config));
  opened.close();
  return `${opened.description}: written, read, removed; two servers cannot overwrite each other`;
}

/** Only S3 is looked at. */
async function storageOptions(config: NodeConfig): Promise<OpenStorageOptions> {
  return { aws: config.aws, folderMode: 0o700, log: QUIET, ca: await authoritiesOf(config) };
}

/** Clients and other parties have no keys for it. What is not there looks like what may not be read, so an object that is there is asked for. */
async function checkReaders(config: NodeConfig): Promise<string> {
  const { storage } = config.public_vault;
  if (!storage.s3) return 'not in S3';
  const path = ['VerfAddress', SIGNING_KEY_ID];
  const options = await storageOptions(config);
  const own = await openVaultStorage(storage, options);
  const anybody = await openVaultStorage(storage, { ...options, credentials: 'anonymous' });
  try {
    if (!(await own.storage.has(path))) return 'nothing is published yet';
    await anybody.storage.get(path);
    return 'anyone can read it';
  } catch (error) {
    if (!isKmsError(error, 'PERMISSION_DENIED') && !isKmsError(error, 'NOT_FOUND')) throw error;
    const { bucket, prefix } = storage.s3;
    const cure = `give the bucket a policy that allows s3:GetObject on arn:aws:s3:::${bucket}/${prefix}/* to everybody`;
    throw failure('PERMISSION_DENIED', `bucket ${bucket} lets nobody read what was published`, cure, { bucket }, error);
  } finally {
    own.close();
    anybody.close();
  }
}

async function checkKey(config: NodeConfig, which: 'primaryKeyId' | 'backupKeyId'): Promise<string> {
  const section = which === 'primaryKeyId' ? config.private_vault : config.backup_vault;
  if (!config.aws || section?.keychain?.aws_kms === undefined) return 'not used';
  const { keyArn, charter, releases } = await readGoverned(config, which);
  const [, , , region = '', account = ''] = keyArn.split(':');
  const { developer_kms_endpoint: developerEndpoint } = config.aws;
  // Loaded by those who use it.
  const { DescribeKeyCommand, GetKeyPolicyCommand, KMSClient, ListGrantsCommand } = await import('@aws-sdk/client-kms');
  const ca = await authoritiesOf(config);
  const client = new KMSClient({
    region,
    endpoint: developerEndpoint ?? awsEndpoint('kms', region),
    credentials: awsCredentials(config.aws, { ca }),
    maxAttempts: 3,
    requestHandler: { connectionTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, ...connectingAgents({ ca }) },
  });
  const call = async <T>(operation: string, answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } catch (thrown) {
      throw judgeKmsFailure(thrown, operation, keyArn).error;
    }
  };
  try {
    const { KeyMetadata: key } = await call('DescribeKey', client.send(new DescribeKeyCommand({ KeyId: keyArn })));
    const asked = new GetKeyPolicyCommand({ KeyId: keyArn, PolicyName: 'default' });
    const { Policy = '' } = await call('GetKeyPolicy', client.send(asked));
    const { Grants = [] } = await call('ListGrants', client.send(new ListGrantsCommand({ KeyId: keyArn })));
    const findings = lintKeyPolicy(
      Policy,
      { account, engineRole: config.aws.role_arn ?? '', releases, pcr16: pcr16Of(charter) },
      {
        origin: key?.Origin,
        multiRegion: key?.MultiRegion,
        keySpec: key?.KeySpec,
        keyUsage: key?.KeyUsage,
        keyState: key?.KeyState,
        keyManager: key?.KeyManager,
        customKeyStore: key?.CustomKeyStoreId !== undefined,
        grants: Grants.length,
      },
    );
    const errors = findings.filter(({ severity }) => severity === 'error');
    if (errors.length === 0) return `${keyArn}: engines of party ${charter.party} alone can use it`;
    const what = errors.map(({ rule, message }) => `${rule}: ${message}`).join('; ');
    const cure =
      'enable the key if it is disabled; else make another (arca kms policy create) and name it in the record';
    throw failure('PRECONDITION_FAILED', `the engine will not use ${keyArn}: ${what}`, cure, { keyArn });
  } finally {
    client.destroy();
  }
}

/** Charter, record and release set as the engine reads them: signatures count, the file's word does not. */
async function readGoverned({ attestation }: NodeConfig, which: 'primaryKeyId' | 'backupKeyId') {
  const { charter_path: charterPath, record_path: recordPath, releases_path: releasesPath } = attestation;
  const read = async (path: string): Promise<Uint8Array> => {
    const bytes = await readIfThere(path);
    if (bytes) return bytes;
    throw failure('STATE_INVALID', `${path} is not there`, 'fetch it from governance, or start the node once');
  };
  const charterBytes = await read(charterPath);
  const charter = await readOf(charterPath, () => decodeCharter(charterBytes));
  const recordBytes = await read(recordPath);
  const { body: record } = await readOf(recordPath, () => verifyRecord(recordBytes, charter));
  const releaseBytes = await read(releasesPath);
  const { body: set } = await readOf(releasesPath, () => verifyReleaseSet(releaseBytes, record));
  const keyArn = record.parties.find(({ party }) => party === charter.party)?.aws?.[which];
  if (keyArn !== undefined) return { keyArn, charter, releases: engineReleases(set) };
  const what = `the governed record names no ${which === 'primaryKeyId' ? 'root' : 'backup'} key for party ${charter.party}`;
  throw failure('PRECONDITION_FAILED', what, 'propose it: arca record propose --root-key PARTY=ARN[,BACKUP-ARN]');
}
