/**
 * Keys for AWS by a web identity: a token that somebody renews in a file, handed to AWS STS for a role. SECRET: token and keys.
 */
import { readFile } from 'node:fs/promises';
import type { ConnectingOptions } from '../connecting-agents.ts';
import { type ErrorCode, KmsError, systemErrorCode } from '../errors.ts';
import { awsEndpoint } from './connection.ts';
import { type SessionKeys, sessionKeys } from './session-keys.ts';
import { smallRequest } from './small-request.ts';

/** Who asks, and where. */
export interface WebIdentityOptions extends ConnectingOptions {
  readonly roleArn: string;
  readonly tokenPath: string;
  readonly region: string;
  /** Developer mode alone: an emulator's address. AWS's own is computed. */
  readonly developerEndpoint?: string | undefined;
}

const SERVICE = 'AWS STS';
/** What STS refuses, each with its cure. */
const REFUSALS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ExpiredTokenException: ['PERMISSION_DENIED', 'the web identity token has expired: see why its file is not renewed'],
  InvalidIdentityToken: ['PERMISSION_DENIED', 'the web identity token is not one that the role trusts'],
  IDPRejectedClaim: ['PERMISSION_DENIED', 'the identity provider rejects the web identity token'],
  IDPCommunicationError: ['UNAVAILABLE', 'AWS does not reach the identity provider'],
  AccessDenied: ['PERMISSION_DENIED', "the role's trust policy does not let this token take it"],
  ValidationError: ['CONFIG_INVALID', 'role or token is malformed: correct aws.role_arn'],
  RegionDisabledException: ['CONFIG_INVALID', 'AWS STS is not enabled in this region for the account'],
};

/**
 * Takes the role once.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` if the token's file cannot be read; otherwise what STS refuses, with its cure, and
 *   `UNAVAILABLE`.
 */
export async function webIdentityKeys(options: WebIdentityOptions): Promise<SessionKeys> {
  const { roleArn, tokenPath, region, developerEndpoint, connect, ca } = options;
  const token = await readFile(tokenPath, 'utf8').catch((error: unknown) => {
    const why = systemErrorCode(error) ?? 'failed';
    throw new KmsError('CONFIG_INVALID', `aws.web_identity_token_path: ${tokenPath} cannot be read: ${why}`, {}, error);
  });
  const fields = {
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: roleArn,
    RoleSessionName: 'arca-engine',
    WebIdentityToken: token.trim(),
  };
  const { status, body } = await smallRequest({
    url: new URL(developerEndpoint ?? awsEndpoint('sts', region)),
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
    service: SERVICE,
    connect,
    ca,
  });
  if (status !== 200) throw refusal(status, textOf(body, 'Code') ?? '');
  const [id, secret] = [textOf(body, 'AccessKeyId'), textOf(body, 'SecretAccessKey')];
  return sessionKeys({ id, secret, token: textOf(body, 'SessionToken'), end: textOf(body, 'Expiration') }, SERVICE);
}

/** The text of the one element of that name; answers of STS nest none of them twice. */
function textOf(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1]?.replaceAll('&amp;', '&');
}

function refusal(status: number, code: string): KmsError {
  const known = Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : undefined;
  const facts = { service: SERVICE, status, ...(known && { reason: code }) };
  if (known) return new KmsError(known[0], `${SERVICE}: ${known[1]}`, facts);
  const isPassing = status >= 500 || status === 429;
  return new KmsError(isPassing ? 'UNAVAILABLE' : 'PERMISSION_DENIED', `${SERVICE} gives no keys for the role`, facts);
}
