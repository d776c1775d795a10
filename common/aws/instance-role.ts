/**
 * Keys for AWS of the EC2 instance's role, from its metadata service (IMDSv2). An enclave reaches it through its parent, whose
 * role it is: what these keys may do is the parent's to know, and no secret of the enclave. SECRET: the keys.
 */
import type { ConnectingOptions } from '../connecting-agents.ts';
import { KmsError } from '../errors.ts';
import { type SessionKeys, sessionKeys } from './session-keys.ts';
import { smallRequest } from './small-request.ts';

/** How the service is reached. */
export interface InstanceRoleOptions extends ConnectingOptions {
  /** Tests alone: the service has one address. */
  readonly endpoint?: string | undefined;
}

const SERVICE = 'the metadata service of the instance';
const ADDRESS = 'http://169.254.169.254';
const ROLES = '/latest/meta-data/iam/security-credentials/';
const TOKEN_SECS = 60;
const ROLE = /^[\w+=,.@-]{1,128}$/;
/** Nobody answers outside of an instance. */
const TIMEOUT_MS = 3_000;

/**
 * Asks for the keys of the instance's role.
 *
 * @throws {@link KmsError} `PERMISSION_DENIED` if the instance has no role, or its settings allow no token; `UNAVAILABLE`.
 */
export async function instanceRoleKeys({ endpoint = ADDRESS, connect }: InstanceRoleOptions): Promise<SessionKeys> {
  const ask = async (
    method: 'GET' | 'PUT',
    path: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<string> => {
    const url = new URL(path, endpoint);
    const { status, body } = await smallRequest({
      url,
      method,
      headers,
      service: SERVICE,
      timeoutMs: TIMEOUT_MS,
      connect,
    });
    if (status === 200) return body;
    const isPassing = status >= 500 || status === 429;
    const cure =
      path === ROLES ? 'give the instance a role' : 'allow IMDSv2, with a hop limit that reaches this process';
    throw new KmsError(isPassing ? 'UNAVAILABLE' : 'PERMISSION_DENIED', `${SERVICE} gives no keys: ${cure}`, {
      status,
    });
  };
  const life = { 'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_SECS) };
  const token = { 'x-aws-ec2-metadata-token': (await ask('PUT', '/latest/api/token', life)).trim() };
  const [role = ''] = (await ask('GET', ROLES, token)).trim().split('\n');
  if (!ROLE.test(role)) throw new KmsError('PERMISSION_DENIED', `${SERVICE} names no role: give the instance one`);
  const answer = parse(await ask('GET', ROLES + role, token));
  const { AccessKeyId: id, SecretAccessKey: secret, Token, Expiration: end } = answer;
  return sessionKeys({ id, secret, token: Token, end }, SERVICE);
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch {
    // Its text may hold keys: nothing of it goes into the error.
  }
  return {};
}
