/**
 * AWS Signature Version 4 of requests with a body in one piece: verified as AWS does it, in its order and its words.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { AwsError } from './aws-error.ts';
import type { Caller, Credentials } from './identities.ts';

/** A request as it came. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

/** What a signature must be for. */
export interface SignatureScope {
  readonly region: string;
  readonly service: string;
  readonly nowMs: number;
  readonly find: (accessKeyId: string, sessionToken: string | undefined) => Credentials;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const MAX_SKEW_MS = 300_000;
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 +Credential=([A-Za-z0-9]{4,128})\/(\d{8})\/([a-z0-9-]+)\/([a-z0-9-]+)\/aws4_request, *SignedHeaders=([a-z0-9;-]+), *Signature=([0-9a-f]{64})$/;

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: Uint8Array | string, data: string): Buffer => createHmac('sha256', key).update(data).digest();

/**
 * Returns who signed a request.
 *
 * @throws AwsError `MissingAuthenticationTokenException`, `IncompleteSignatureException`, `InvalidSignatureException`,
 *   `UnrecognizedClientException`, `ExpiredTokenException`.
 */
export function verifySignature(request: SignedRequest, scope: SignatureScope): Caller {
  const { headers } = request;
  const { authorization } = headers;
  if (authorization === undefined) {
    throw new AwsError('MissingAuthenticationTokenException', 'Missing Authentication Token');
  }
  const [, accessKeyId, day, region, service, names, signature] = AUTHORIZATION.exec(authorization) ?? [];
  if (
    accessKeyId === undefined ||
    day === undefined ||
    region === undefined ||
    service === undefined ||
    names === undefined ||
    signature === undefined
  ) {
    throw new AwsError('IncompleteSignatureException', 'Authorization header is not in the form of AWS4-HMAC-SHA256.');
  }
  const signedHeaders = names.split(';');
  if (!signedHeaders.includes('host') || !signedHeaders.includes('x-amz-date')) {
    throw new AwsError('IncompleteSignatureException', "'Host' and 'X-Amz-Date' must be 'SignedHeader's.");
  }
  const date = single(headers, 'x-amz-date') ?? '';
  checkDate(date, day, scope.nowMs);
  if (region !== scope.region) {
    throw new AwsError('InvalidSignatureException', 'Credential should be scoped to a valid region. ');
  }
  if (service !== scope.service) {
    throw new AwsError(
      'InvalidSignatureException',
      `Credential should be scoped to correct service: '${scope.service}'. `,
    );
  }
  const credentials = scope.find(accessKeyId, single(headers, 'x-amz-security-token'));
  const canonical = canonicalRequest(request, signedHeaders);
  const toSign = [ALGORITHM, date, `${day}/${region}/${service}/aws4_request`, sha256(canonical)].join('\n');
  const key = [day, region, service, 'aws4_request'].reduce<Uint8Array | string>(
    (last, part) => hmac(last, part),
    `AWS4${credentials.secretAccessKey}`,
  );
  if (timingSafeEqual(hmac(key, toSign), Buffer.from(signature, 'hex'))) return credentials.caller;
  throw new AwsError(
    'InvalidSignatureException',
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
  );
}

function checkDate(date: string, day: string, nowMs: number): void {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (parts === null || !date.startsWith(day)) {
    throw new AwsError('IncompleteSignatureException', "Date must be in ISO-8601 'basic format'.");
  }
  const [, year, month, dayOfMonth, hour, minute, second] = parts;
  const atMs = Date.parse(`${year}-${month}-${dayOfMonth}T${hour}:${minute}:${second}Z`);
  const shown = (ms: number): string => new Date(ms).toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
  if (atMs < nowMs - MAX_SKEW_MS) {
    const limit = shown(nowMs - MAX_SKEW_MS);
    throw new AwsError(
      'InvalidSignatureException',
      `Signature expired: ${date} is now earlier than ${limit} (${shown(nowMs)} - 5 min.)`,
    );
  }
  if (atMs > nowMs + MAX_SKEW_MS) {
    const limit = shown(nowMs + MAX_SKEW_MS);
    throw new AwsError(
      'InvalidSignatureException',
      `Signature not yet current: ${date} is still later than ${limit} (${shown(nowMs)} + 5 min.)`,
    );
  }
}

function canonicalRequest({ method, target, headers, body }: SignedRequest, signedHeaders: readonly string[]): string {
  const [path, query = ''] = target.split('?', 2);
  const lines = signedHeaders.map((name) => `${name}:${(single(headers, name) ?? '').trim().replaceAll(/ +/g, ' ')}\n`);
  const sortedQuery = query.split('&').sort().join('&');
  return [method, path, sortedQuery, lines.join(''), signedHeaders.join(';'), sha256(body)].join('\n');
}

function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}
