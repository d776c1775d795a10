/**
 * Where the keys for AWS come from, as `[aws]` of the configuration says; those that end are renewed before. SECRET: the keys.
 */
import { instanceRoleKeys } from '../common/aws/instance-role.ts';
import type { SessionKeys } from '../common/aws/session-keys.ts';
import { webIdentityKeys } from '../common/aws/web-identity.ts';
import { type Clock, systemClock } from '../common/clock.ts';
import type { ConnectingOptions } from '../common/connecting-agents.ts';
import { KmsError } from '../common/errors.ts';
import type { AwsConfig } from '../common/node-config-aws.ts';
import type { S3Credentials } from './s3/options.ts';

/** Returns what gives keys that are valid now; asked before each request. */
export type CredentialsSource = () => Promise<S3Credentials>;

/** What a source takes from outside. */
export interface CredentialsDeps extends ConnectingOptions {
  readonly clock?: Clock;
  /** Tests alone: address of the metadata service. */
  readonly metadataEndpoint?: string;
}

/** Keys are renewed this long before they end; what is under way has as long to finish. */
const RENEWED_BEFORE_MS = 300_000;
/** After a failed renewal, while the old keys still hold. */
const NEXT_TRY_MS = 30_000;

/**
 * Returns the source that a configuration names.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if there is none.
 */
export function awsCredentials(aws: AwsConfig, deps: CredentialsDeps = {}): CredentialsSource {
  const { developer_access_key_id: accessKeyId, developer_secret_access_key: secretAccessKey } = aws;
  const { role_arn: roleArn, web_identity_token_path: tokenPath, region, developer_sts_endpoint: sts } = aws;
  const { connect, ca, clock = systemClock, metadataEndpoint: endpoint } = deps;
  // A copy each time: the AWS client writes into what it is given.
  if (accessKeyId !== undefined && secretAccessKey !== undefined) return async () => ({ accessKeyId, secretAccessKey });
  if (tokenPath !== undefined && roleArn !== undefined) {
    return renewed(() => webIdentityKeys({ roleArn, tokenPath, region, developerEndpoint: sts, connect, ca }), clock);
  }
  if (aws.instance_role) return renewed(() => instanceRoleKeys({ endpoint, connect }), clock);
  throw new KmsError('CONFIG_INVALID', '[aws] names no source of credentials');
}

/** Keeps keys while they hold; of many who ask at once, one asks further. */
function renewed(fetchKeys: () => Promise<SessionKeys>, clock: Clock): CredentialsSource {
  let held: SessionKeys | undefined;
  let renewAtMs = 0;
  let fetching: Promise<SessionKeys> | undefined;
  const renew = async (): Promise<SessionKeys> => {
    try {
      held = await fetchKeys();
      renewAtMs = held.expiration.getTime() - RENEWED_BEFORE_MS;
      return held;
    } catch (error) {
      if (held === undefined || held.expiration.getTime() <= clock.nowMs()) throw error;
      renewAtMs = clock.nowMs() + NEXT_TRY_MS;
      return held;
    } finally {
      fetching = undefined;
    }
  };
  return async () => {
    if (held !== undefined && clock.nowMs() < renewAtMs) return { ...held };
    fetching ??= renew();
    return { ...(await fetching) };
  };
}
