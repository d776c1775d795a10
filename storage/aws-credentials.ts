/**
 * Where the keys for AWS come from, as `[aws]` of the configuration says. SECRET: the keys pass through.
 */
import { KmsError } from '../common/errors.ts';
import type { AwsConfig } from '../common/node-config-aws.ts';
import type { S3Credentials } from './s3/options.ts';

/** Returns what gives keys that are valid now; asked before each request. */
export type CredentialsSource = () => Promise<S3Credentials>;

/**
 * Returns the source that a configuration names.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if there is none.
 */
export function awsCredentials(aws: AwsConfig): CredentialsSource {
  const { developer_access_key_id: accessKeyId, developer_secret_access_key: secretAccessKey } = aws;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new KmsError('CONFIG_INVALID', '[aws] names no source of credentials');
  }
  // A copy each time: the AWS client writes into what it is given.
  return async () => ({ accessKeyId, secretAccessKey });
}
