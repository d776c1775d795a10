/**
 * AWS Signature Version 4 as S3 checks it, in the `Authorization` header, and the signatures of streamed chunks.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { S3Error } from './errors.ts';

/** A key that the server knows. */
export interface KnownCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** When the session ends, in milliseconds since the Unix epoch. */
  readonly expiresAtMs?: number;
}

/** A request as it came over the wire. */
export interface SignedRequest {
  readonly method: string;
  /** Path before the question mark, as sent. */
  readonly rawPath: string;
  /** Decoded names and values, in any order. */
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly headers: IncomingHttpHeaders;
}

/** What a streamed body needs to check the signatures of its chunks. */
export interface ChunkSigner {
  /** Returns whether the next chunk bears this signature; each builds on the one before. */
  chunk(signature: string, data: Uint8Array): boolean;
  /** The same for the trailer. */
  trailer(signature: string, lines: string): boolean;
}

/** Who asks. */
export interface Caller {
  readonly accessKeyId: string;
  readonly chunkSigner: ChunkSigner;
}

const MAX_SKEW_MS = 15 * 60 * 1000;
const EMPTY_SHA256 = sha256('');

/**
 * Checks a request's signature.
 *
 * @returns The caller; undefined for a request that is not signed at all.
 * @throws S3Error of every kind that AWS answers a bad signature with.
 */
export function authenticate(
  request: SignedRequest,
  known: readonly KnownCredentials[],
  region: string,
  nowMs: number,
): Caller | undefined {
  const { headers } = request;
  if (headers.authorization === undefined) return undefined;
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{64})$/.exec(
      headers.authorization,
    );
  const [accessKeyId, day, scopeRegion, service, terminal, more] = match?.[1]?.split('/') ?? [];
  if (!match || !accessKeyId || !day || service !== 's3' || terminal !== 'aws4_request' || more !== undefined) {
    throw new S3Error('AuthorizationHeaderMalformed');
  }
  const credentials = known.find((one) => one.accessKeyId === accessKeyId);
  if (!credentials) throw new S3Error('InvalidAccessKeyId', { AWSAccessKeyId: accessKeyId });
  if (scopeRegion !== region) {
    const message = `The authorization header is malformed; the region '${scopeRegion}' is wrong; expecting '${region}'`;
    throw new S3Error('AuthorizationHeaderMalformed', { Region: region }, message);
  }
  checkSession(headers, credentials, nowMs);
  const date = text(headers['x-amz-date']);
  checkDate(date, day, nowMs);

  const signedNames = (match[2] ?? '').split(';');
  checkSignedHeaders(headers, signedNames);
  const canonical = [
    request.method,
    request.rawPath.split('/').map(recode).join('/') || '/',
    canonicalQuery(request.query),
    ...signedNames.map((name) => `${name}:${text(headers[name]).trim().replace(/\s+/g, ' ')}`),
    '',
    signedNames.join(';'),
    text(headers['x-amz-content-sha256']),
  ].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const key = ['s3', 'aws4_request'].reduce(
    (previous, part) => hmac(previous, part),
    hmac(hmac(`AWS4${credentials.secretAccessKey}`, day), region),
  );
  const signature = match[3] ?? '';
  const expected = hmac(key, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).toString('hex');
  if (!same(signature, expected)) throw new S3Error('SignatureDoesNotMatch', { AWSAccessKeyId: accessKeyId });
  return { accessKeyId, chunkSigner: chunkSigner(key, date, scope, signature) };
}

function checkSession(headers: IncomingHttpHeaders, credentials: KnownCredentials, nowMs: number): void {
  const token = headers['x-amz-security-token'];
  if (credentials.sessionToken === undefined ? token !== undefined : !same(text(token), credentials.sessionToken)) {
    throw new S3Error('InvalidToken');
  }
  if (credentials.expiresAtMs !== undefined && nowMs >= credentials.expiresAtMs) throw new S3Error('ExpiredToken');
}

function checkDate(date: string, day: string, nowMs: number): void {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (!match || !date.startsWith(day)) {
    throw new S3Error('AccessDenied', {}, 'AWS authentication requires a valid Date or x-amz-date header');
  }
  const [year = 0, month = 0, ...rest] = match.slice(1).map(Number);
  const [dayOfMonth = 0, hour = 0, minute = 0, second = 0] = rest;
  if (Math.abs(Date.UTC(year, month - 1, dayOfMonth, hour, minute, second) - nowMs) > MAX_SKEW_MS) {
    throw new S3Error('RequestTimeTooSkewed', {
      RequestTime: date,
      ServerTime: new Date(nowMs).toISOString(),
      MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS),
    });
  }
}

function checkSignedHeaders(headers: IncomingHttpHeaders, signed: readonly string[]): void {
  const mustBe = ['host', ...Object.keys(headers).filter((name) => name.startsWith('x-amz-'))];
  const missing = mustBe.filter((name) => !signed.includes(name));
  if (missing.length > 0) {
    const message = 'There were headers present in the request which were not signed';
    throw new S3Error('AccessDenied', { HeadersNotSigned: missing.join(', ') }, message);
  }
}

function chunkSigner(key: Buffer, date: string, scope: string, seed: string): ChunkSigner {
  let previous = seed;
  const check = (signature: string, kind: string, rest: readonly string[]): boolean => {
    const expected = hmac(key, [kind, date, scope, previous, ...rest].join('\n')).toString('hex');
    previous = expected;
    return same(signature, expected);
  };
  return {
    chunk: (signature, data) => check(signature, 'AWS4-HMAC-SHA256-PAYLOAD', [EMPTY_SHA256, sha256(data)]),
    trailer: (signature, lines) => check(signature, 'AWS4-HMAC-SHA256-TRAILER', [sha256(lines)]),
  };
}

/** Encodes as the signature wants it, whatever of it the client had encoded. */
function recode(segment: string): string {
  try {
    return encode(decodeURIComponent(segment));
  } catch {
    throw new S3Error('InvalidArgument', {}, "Couldn't parse the specified URI.");
  }
}

function encode(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function canonicalQuery(query: SignedRequest['query']): string {
  return query
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
}

function text(header: string | string[] | undefined): string {
  return Array.isArray(header) ? header.join(',') : (header ?? '');
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

function same(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(sha256(a)), Buffer.from(sha256(b)));
}
