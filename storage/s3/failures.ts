/**
 * What can go wrong with S3, told as one of our errors with its cure, and whether it may pass by itself.
 *
 * Error codes of the server are facts if they look like codes; its messages are not repeated.
 */
import { type ErrorCode, type Fact, isKmsError, KmsError, systemErrorCode } from '../../common/errors.ts';

/** A failed request, judged. */
export interface Failure {
  readonly error: KmsError;
  /** May pass by itself. */
  readonly retryable: boolean;
  /** The server may have done what was asked all the same. */
  readonly ambiguous: boolean;
  /** The server's code (`NoSuchKey`) or, where it gave none, what stands for it. */
  readonly code: string;
  readonly status: number | undefined;
}

/** What was tried. */
export interface Attempted {
  /** `PutObject` */
  readonly operation: string;
  /** IAM action that it takes. */
  readonly action: string;
  /** Kind of object, for the facts. */
  readonly type: string;
}

type Rule = readonly [code: ErrorCode, message: string, retryable?: 'retry'];

/** Stands for the right that was asked for, such as s3:PutObject. */
const ACTION = '%action%';

const BY_CODE: Readonly<Record<string, Rule>> = {
  NoSuchBucket: ['STATE_INVALID', 'the bucket does not exist: create it, or correct its name in the configuration'],
  AccessDenied: [
    'PERMISSION_DENIED',
    `S3 refuses this operation: allow ${ACTION} to this role, in its policy and the bucket’s`,
  ],
  AllAccessDisabled: ['PERMISSION_DENIED', 'S3 has disabled this bucket or account: ask AWS'],
  InvalidAccessKeyId: ['PERMISSION_DENIED', 'S3 does not know the access key: correct the credentials'],
  SignatureDoesNotMatch: [
    'PERMISSION_DENIED',
    'the secret key does not belong to the access key: correct the credentials',
  ],
  InvalidToken: ['PERMISSION_DENIED', 'the session token is not valid: get new credentials'],
  ExpiredToken: ['PERMISSION_DENIED', 'the credentials have expired: get new ones, and see why they were not renewed'],
  RequestTimeTooSkewed: [
    'STATE_INVALID',
    'the clock of this machine is wrong by more than 15 minutes: set it',
    'retry',
  ],
  PermanentRedirect: ['CONFIG_INVALID', 'the bucket is in another region: correct the region in the configuration'],
  AuthorizationHeaderMalformed: [
    'CONFIG_INVALID',
    'the bucket is in another region: correct the region in the configuration',
  ],
  IllegalLocationConstraintException: [
    'CONFIG_INVALID',
    'the bucket is in another region: correct the region in the configuration',
  ],
  InvalidObjectState: ['STATE_INVALID', 'the object was archived: restore it to the standard storage class'],
  PreconditionFailed: ['ABORTED', 'somebody else writes this object at the same time: look at it, then try again'],
  NoSuchUpload: ['ABORTED', 'S3 has dropped the upload: try again'],
  NotImplemented: ['UNIMPLEMENTED', 'this S3 server does not do what the vault needs'],
  QuotaExceeded: ['STORAGE_FULL', 'the bucket is full: make room, then try again'],
  EntityTooLarge: ['RESOURCE_EXHAUSTED', 'the object is larger than this S3 server takes'],
  BadDigest: ['UNAVAILABLE', 'what was sent to S3 arrived damaged, again and again', 'retry'],
  XAmzContentSHA256Mismatch: ['UNAVAILABLE', 'what was sent to S3 arrived damaged, again and again', 'retry'],
  XAmzContentChecksumMismatch: ['UNAVAILABLE', 'what was sent to S3 arrived damaged, again and again', 'retry'],
  IncompleteBody: ['UNAVAILABLE', 'what was sent to S3 arrived in part only, again and again', 'retry'],
  RequestTimeout: ['UNAVAILABLE', 'S3 waited in vain for the rest of a request', 'retry'],
  SlowDown: ['UNAVAILABLE', 'S3 asks for fewer requests', 'retry'],
  ServiceUnavailable: ['UNAVAILABLE', 'S3 is not available at present', 'retry'],
  InternalError: ['UNAVAILABLE', 'S3 failed, again and again', 'retry'],
  ConditionalRequestConflict: ['UNAVAILABLE', 'S3 is busy with another write of the same object', 'retry'],
  OperationAborted: ['UNAVAILABLE', 'S3 is busy with another change of the bucket', 'retry'],
};

const OF_NETWORK: Readonly<Record<string, Rule>> = {
  ENOTFOUND: ['UNAVAILABLE', 'the host name of S3 cannot be resolved: check the region or endpoint, and DNS', 'retry'],
  EAI_AGAIN: ['UNAVAILABLE', 'the host name of S3 cannot be resolved: DNS does not answer', 'retry'],
  ECONNREFUSED: ['UNAVAILABLE', 'nothing listens where S3 should be: check the endpoint and the relay', 'retry'],
  EHOSTUNREACH: ['UNAVAILABLE', 'there is no way to S3: check the network and the relay', 'retry'],
  ENETUNREACH: ['UNAVAILABLE', 'there is no way to S3: check the network and the relay', 'retry'],
};

/** Codes of TLS for a certificate that is not the store’s. */
const CERTIFICATE =
  /^(?:CERT_|UNABLE_TO_|ERR_TLS_CERT|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_(?:CA|PURPOSE))/;

/** Thrown by our own time limits. */
export class TimedOut extends Error {}

/** Judges what a request, or the reading of an answer, threw. */
export function judge(thrown: unknown, attempted: Attempted): Failure {
  if (isKmsError(thrown)) {
    return { error: thrown, retryable: false, ambiguous: false, code: thrown.code, status: undefined };
  }
  const status = httpStatus(thrown);
  return status === undefined ? ofNetwork(thrown, attempted) : ofAnswer(thrown, status, attempted);
}

function ofAnswer(thrown: unknown, status: number, attempted: Attempted): Failure {
  const code = serverCode(thrown) ?? codeOfStatus(status);
  const passing = status >= 500 || status === 429;
  const fallback: Rule = passing
    ? ['UNAVAILABLE', 'S3 failed, again and again', 'retry']
    : ['INTERNAL', 'S3 refuses this request'];
  const [kind, message, retry] = BY_CODE[code] ?? fallback;
  const region = /^(?:CONFIG_INVALID)$/.test(kind) ? bucketRegion(thrown) : undefined;
  const facts: Record<string, Fact> = { ...about(attempted), status, cause: code };
  if (kind === 'PERMISSION_DENIED') facts.action = attempted.action;
  if (region !== undefined) facts.bucketRegion = region;
  const error = new KmsError(kind, message.replace(ACTION, attempted.action), facts, thrown);
  return { error, retryable: retry === 'retry', ambiguous: passing, code, status };
}

function ofNetwork(thrown: unknown, attempted: Attempted): Failure {
  const code = networkCode(thrown);
  if (CERTIFICATE.test(code)) {
    const message =
      'the certificate of S3 is not one that is trusted here: check the endpoint, the relay and the authorities';
    const error = new KmsError('PERMISSION_DENIED', message, { ...about(attempted), cause: code }, thrown);
    return { error, retryable: false, ambiguous: false, code, status: undefined };
  }
  const [kind, message] =
    thrown instanceof TimedOut
      ? (['UNAVAILABLE', 'S3 does not answer in time'] as const)
      : (OF_NETWORK[code] ?? (['UNAVAILABLE', 'the connection to S3 breaks, or what answers there is no S3'] as const));
  const error = new KmsError(kind, message, { ...about(attempted), cause: code }, thrown);
  return { error, retryable: true, ambiguous: !(code in OF_NETWORK), code, status: undefined };
}

function about({ operation, type }: Attempted): Record<string, Fact> {
  return { operation, type };
}

/** Answers to HEAD have no body, so only their status tells. */
function codeOfStatus(status: number): string {
  const codes: Readonly<Record<number, string>> = {
    301: 'PermanentRedirect',
    307: 'PermanentRedirect',
    403: 'AccessDenied',
    404: 'NoSuchKey',
    409: 'ConditionalRequestConflict',
    412: 'PreconditionFailed',
    501: 'NotImplemented',
    503: 'ServiceUnavailable',
    507: 'QuotaExceeded',
  };
  return codes[status] ?? `HTTP${status}`;
}

function httpStatus(thrown: unknown): number | undefined {
  const metadata = field(thrown, '$metadata');
  const status = field(metadata, 'httpStatusCode');
  // An answer of 200 that cannot be read is as good as none.
  return typeof status === 'number' && (status >= 300 || serverCode(thrown) !== undefined) ? status : undefined;
}

/** The code of the answer's body, unless it is one that the client makes up. */
function serverCode(thrown: unknown): string | undefined {
  const name = field(thrown, 'Code') ?? field(thrown, 'name');
  if (typeof name !== 'string' || !/^[A-Z][A-Za-z0-9.]{2,63}$/.test(name)) return undefined;
  return /^(?:Error|TypeError|SyntaxError|Unknown|UnknownError|NotFound|Forbidden|[1-5]\d\d)$/.test(name)
    ? undefined
    : name;
}

function networkCode(thrown: unknown): string {
  if (thrown instanceof TimedOut) return 'TimedOut';
  const cause = field(thrown, 'cause');
  return systemErrorCode(thrown) ?? systemErrorCode(cause) ?? (thrown instanceof Error ? thrown.name : 'unknown');
}

function bucketRegion(thrown: unknown): string | undefined {
  const header = field(field(field(thrown, '$response'), 'headers'), 'x-amz-bucket-region');
  const region = header ?? field(thrown, 'Region');
  return typeof region === 'string' && /^[a-z0-9-]{4,32}$/.test(region) ? region : undefined;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? Reflect.get(value, name) : undefined;
}
