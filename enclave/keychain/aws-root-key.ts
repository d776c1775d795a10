/**
 * The root key of a party's vault in AWS KMS: looked at before anything is sealed under it, and opened with the key before it,
 * for what is not yet sealed anew. SECRET: data keys pass through its keyring.
 */
import { type AwsKeys, type Charter, charterDigest, type ReleaseSet } from '../../attestation/governance/index.ts';
import type { ConnectingOptions } from '../../common/connecting-agents.ts';
import { KmsError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { AwsConfig } from '../../common/node-config-aws.ts';
import type { CredentialsSource } from '../../storage/aws-credentials.ts';
import { asymmetricKeyring, symmetricKeyring } from './aws-kms.ts';
import { checkRootKey } from './check-root-key.ts';
import { expectedPolicy } from './expected-policy.ts';
import type { KmsCallerOptions } from './kms-caller.ts';
import { RootKeyrings } from './root-keyrings.ts';

/** How the configuration has AWS KMS used. */
export interface AwsRootKeyOptions extends ConnectingOptions {
  readonly aws: AwsConfig;
  readonly rootKeySpec: 'symm' | 'asymm';
  readonly credentials: CredentialsSource;
}

/** Who asks. */
export interface RootKeyUser {
  readonly nsm: KmsCallerOptions['nsm'];
  readonly charter: Charter;
  readonly releases: ReleaseSet;
  /** Registers of this engine. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly log: Logger;
}

/** A root key that was looked at. */
export interface OpenedRootKey {
  readonly keyring: RootKeyrings;
  readonly policyHash: Uint8Array;
  /** RSA: anybody who knows the public key can wrap, so that an object opens says nothing about who made it. */
  readonly wrapsForAnyone: boolean;
}

/**
 * Opens the keys that the governed record names for this party.
 *
 * @param which - The one that seals.
 * @throws KmsError `STATE_INVALID` if the record names none; `PRECONDITION_FAILED` as `checkRootKey`, and for a policy of
 *   another hash than the record's; `CONFIG_INVALID` for a role that is not configured.
 */
export async function openAwsRootKey(
  keys: AwsKeys | undefined,
  which: 'primaryKeyId' | 'backupKeyId',
  { aws, rootKeySpec, credentials, connect, ca }: AwsRootKeyOptions,
  { nsm, charter, releases, pcrs, log }: RootKeyUser,
): Promise<OpenedRootKey> {
  const { party } = charter;
  const keyArn = keys?.[which];
  if (keys === undefined || keyArn === undefined) {
    const what = which === 'primaryKeyId' ? 'root key' : 'key for backups';
    const cure = `arca record propose --root-key ${party}=ARN,ARN-FOR-BACKUPS`;
    throw new KmsError('STATE_INVALID', `the governed record names no ${what} of AWS KMS for party ${party}: ${cure}`);
  }
  const { role_arn: engineRole, developer_kms_endpoint: developerEndpoint } = aws;
  if (engineRole === undefined) {
    throw new KmsError('CONFIG_INVALID', 'aws.role_arn is missing: it is the role that policies of root keys name');
  }
  const caller = (arn: string): KmsCallerOptions => ({
    keyArn: arn,
    nsm,
    charterDigest: charterDigest(charter),
    party,
    credentials,
    developerEndpoint,
    connect,
    ca,
    onRetry: (err, attempt) => log.warn({ event: 'kms.retry', attempt, err }),
  });
  const expected = expectedPolicy({ charter, releases, pcrs, engineRole });
  const { policyHash, warnings } = await checkRootKey(caller(keyArn), expected);
  for (const { rule, message } of warnings) log.warn({ event: 'kms.policy', keyArn, rule }, message);
  if (which === 'primaryKeyId') checkHash(keys, policyHash, keyArn);
  const open = rootKeySpec === 'symm' ? symmetricKeyring : asymmetricKeyring;
  const opened = (keyId: string) => ({ keyId, keyring: open(caller(keyId)) });
  const previous = which === 'primaryKeyId' ? keys.previousKeyId : undefined;
  return {
    keyring: new RootKeyrings(opened(keyArn), previous === undefined ? [] : [opened(previous)]),
    policyHash,
    wrapsForAnyone: rootKeySpec === 'asymm',
  };
}

function checkHash({ keyPolicy }: AwsKeys, found: Uint8Array, keyArn: string): void {
  if (keyPolicy === undefined || Buffer.compare(keyPolicy, found) === 0) return;
  const message = 'the policy of the root key is another one than the governed record names';
  throw new KmsError('PRECONDITION_FAILED', message, { keyArn });
}
