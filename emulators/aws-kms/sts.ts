/**
 * `AssumeRoleWithWebIdentity` of STS: a token of a known issuer against a role's trust, session credentials in return.
 * Hostile input; emulated secrets pass here.
 */
import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import { AwsError } from './aws-error.ts';
import { isObject } from './fields.ts';
import { callerOf, type Identities } from './identities.ts';

/** An issuer of tokens: what an IAM OIDC provider is. */
export interface IdentityProvider {
  /** `iss` of its tokens, a URL. */
  readonly issuer: string;
  /** Its public keys; `kid` chooses where there are several. RS256 and ES256. */
  readonly keys: readonly JsonWebKey[];
}

/** A role that holders of tokens may assume. */
export interface WebIdentityRole {
  readonly arn: string;
  readonly issuer: string;
  readonly audience: string;
  /** `sub` of the tokens; any if absent. */
  readonly subject?: string;
  /** IAM policies of the role, JSON. */
  readonly policies?: readonly string[];
}

/** What the call needs. */
export interface StsDeps {
  readonly providers: readonly IdentityProvider[];
  readonly roles: readonly WebIdentityRole[];
  readonly identities: Identities;
  readonly nowMs: number;
}

const DEFAULT_SECONDS = 3600;
const MIN_SECONDS = 900;
const MAX_SECONDS = 43_200;
const MAX_TOKEN = 20_000;
const VERSION = '2011-06-15';
const SESSION_NAME = /^[\w+=,.@-]{2,64}$/;
const NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/';
const HASHES: Readonly<Record<string, { readonly type: string }>> = { RS256: { type: 'rsa' }, ES256: { type: 'ec' } };

const badToken = (why: string): AwsError => new AwsError('InvalidIdentityToken', why);
const badRequest = (why: string): AwsError => new AwsError('ValidationError', why);

/**
 * Serves the call and returns the answer's XML.
 *
 * @throws AwsError with STS's names: `ValidationError`, `InvalidIdentityToken`, `ExpiredTokenException`, `AccessDenied`.
 */
export function assumeRoleWithWebIdentity(parameters: URLSearchParams, deps: StsDeps, requestId: string): string {
  const need = (name: string): string => {
    const value = parameters.get(name);
    if (value !== null && value !== '') return value;
    const member = name.charAt(0).toLowerCase() + name.slice(1);
    throw badRequest(
      `1 validation error detected: Value null at '${member}' failed to satisfy constraint: Member must not be null`,
    );
  };
  if (need('Version') !== VERSION) throw new AwsError('InvalidAction', 'Could not find operation for that version');
  const arn = need('RoleArn');
  const name = need('RoleSessionName');
  const token = need('WebIdentityToken');
  if (!SESSION_NAME.test(name)) {
    throw badRequest(
      `1 validation error detected: Value '${name.slice(0, 80)}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*`,
    );
  }
  const seconds = Number(parameters.get('DurationSeconds') ?? DEFAULT_SECONDS);
  if (!Number.isInteger(seconds) || seconds < MIN_SECONDS || seconds > MAX_SECONDS) {
    throw badRequest('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.');
  }
  const claims = verifyToken(token, deps);
  const role = deps.roles.find((known) => known.arn === arn);
  if (
    role === undefined ||
    role.issuer !== claims.issuer ||
    (role.subject !== undefined && role.subject !== claims.subject)
  ) {
    throw new AwsError('AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity', 403);
  }
  if (!claims.audiences.includes(role.audience)) throw badToken('Incorrect token audience');
  const session = deps.identities.openSession(callerOf(role.arn, role.policies), name, seconds * 1000);
  return element('AssumeRoleWithWebIdentityResponse', [
    element('AssumeRoleWithWebIdentityResult', [
      element('SubjectFromWebIdentityToken', claims.subject),
      element('Audience', role.audience),
      element('AssumedRoleUser', [element('Arn', session.arn), element('AssumedRoleId', `${session.roleId}:${name}`)]),
      element('Credentials', [
        element('SessionToken', session.sessionToken),
        element('SecretAccessKey', session.secretAccessKey),
        element('Expiration', new Date(session.expiresAtMs).toISOString()),
        element('AccessKeyId', session.accessKeyId),
      ]),
      element('Provider', claims.issuer),
    ]),
    element('ResponseMetadata', [element('RequestId', requestId)]),
  ]);
}

/** Returns a refusal as STS writes it. */
export function stsError(error: AwsError, requestId: string): string {
  return element('ErrorResponse', [
    element('Error', [
      element('Type', error.status < 500 ? 'Sender' : 'Receiver'),
      element('Code', error.code),
      element('Message', error.message),
    ]),
    element('RequestId', requestId),
  ]);
}

function element(name: string, content: string | readonly string[]): string {
  const attribute = name.endsWith('Response') ? ` xmlns="${NAMESPACE}"` : '';
  const inside = typeof content === 'string' ? escapeXml(content) : content.join('');
  return `<${name}${attribute}>${inside}</${name}>`;
}

function escapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? '');
}

interface Claims {
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
}

function verifyToken(token: string, { providers, nowMs }: StsDeps): Claims {
  if (token.length > MAX_TOKEN) throw badToken('The ID Token provided is too long.');
  const parts = token.split('.');
  const [head, body, signature] = parts;
  if (parts.length !== 3 || head === undefined || body === undefined || signature === undefined) {
    throw badToken('The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)');
  }
  const header = readPart(head);
  const claims = readPart(body);
  const { iss: issuer, sub: subject, aud, exp } = claims;
  const provider = providers.find((known) => known.issuer === issuer);
  if (typeof issuer !== 'string' || provider === undefined) {
    throw badToken(`No OpenIDConnect provider found in your account for ${String(issuer).slice(0, 200)}`);
  }
  if (!isSigned(provider, header, `${head}.${body}`, Buffer.from(signature, 'base64url'))) {
    throw badToken(
      "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
    );
  }
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((one): one is string => typeof one === 'string');
  if (typeof subject !== 'string' || typeof exp !== 'number' || audiences.length === 0) {
    throw badToken('Missing a required claim: sub, aud or exp');
  }
  const now = Math.floor(nowMs / 1000);
  if (now < exp) return { issuer, subject, audiences };
  throw new AwsError(
    'ExpiredTokenException',
    `Token expired: current date/time ${now} must be before the expiration date/time ${exp}`,
  );
}

function readPart(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    value = undefined;
  }
  if (isObject(value)) return value;
  throw badToken('The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)');
}

function isSigned(
  { keys }: IdentityProvider,
  { alg, kid }: Readonly<Record<string, unknown>>,
  text: string,
  signature: Buffer,
): boolean {
  const kind = typeof alg === 'string' && Object.hasOwn(HASHES, alg) ? HASHES[alg] : undefined;
  if (kind === undefined) return false;
  const candidates = keys.filter((key) => kid === undefined || key.kid === undefined || key.kid === kid);
  return candidates
    .map((jwk): KeyObject => createPublicKey({ key: jwk, format: 'jwk' }))
    .filter(({ asymmetricKeyType }) => asymmetricKeyType === kind.type)
    .some((key) => verify('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }, signature));
}
