/**
 * What AWS KMS refuses and what fails on the way, as one of our errors with its cure. AWS's own text goes into the cause, for the
 * log; to callers goes the name of the exception if it is one of this table.
 */
import { type ErrorCode, isKmsError, KmsError, systemErrorCode } from '../errors.ts';

/** A failed call, judged. */
export interface KmsFailure {
  readonly error: KmsError;
  /** May pass by itself. */
  readonly retryable: boolean;
  /** The key's policy, or a condition of it, is why. */
  readonly isDenied: boolean;
}

type Rule = readonly [code: ErrorCode, message: string, retry?: 'retry'];

const CREDENTIALS = 'AWS does not take the credentials';
const RULES: Readonly<Record<string, Rule>> = {
  AccessDeniedException: ['PERMISSION_DENIED', 'AWS KMS refuses this engine the key'],
  NotFoundException: ['NOT_FOUND', 'the key is not there: check account, region and id in the governed record'],
  InvalidArnException: ['CONFIG_INVALID', 'the key needs an ARN: correct it in the governed record'],
  DisabledException: ['PRECONDITION_FAILED', 'the key is disabled: enable it'],
  KMSInvalidStateException: ['PRECONDITION_FAILED', 'the key cannot be used in its state: cancel its deletion'],
  KeyUnavailableException: ['UNAVAILABLE', 'the key is not available at present', 'retry'],
  InvalidKeyUsageException: ['CONFIG_INVALID', 'the key is not of the kind that is configured'],
  UnsupportedOperationException: ['CONFIG_INVALID', 'the key is not of the kind that is configured'],
  InvalidCiphertextException: ['STATE_INVALID', 'the wrapped key was not made for this object, or was changed'],
  IncorrectKeyException: ['STATE_INVALID', 'the wrapped key was made under another root key'],
  ValidationException: ['ATTESTATION_REJECTED', 'AWS KMS does not take the attestation document, or the request'],
  ExpiredTokenException: ['PERMISSION_DENIED', `${CREDENTIALS}: they have expired; see why they were not renewed`],
  UnrecognizedClientException: ['PERMISSION_DENIED', `${CREDENTIALS}: it does not know them`],
  InvalidSignatureException: [
    'PERMISSION_DENIED',
    `${CREDENTIALS}: the secret is another one, or this clock is wrong by more than 5 minutes`,
  ],
  IncompleteSignatureException: ['PERMISSION_DENIED', `${CREDENTIALS}: something on the way changes requests`],
  MissingAuthenticationTokenException: ['PERMISSION_DENIED', `${CREDENTIALS}: something on the way changes requests`],
  CredentialsProviderError: ['PERMISSION_DENIED', 'there are no credentials for AWS: check role and token'],
  ThrottlingException: ['UNAVAILABLE', 'AWS KMS asks for fewer requests', 'retry'],
  LimitExceededException: ['UNAVAILABLE', 'a quota of AWS KMS is used up', 'retry'],
  DependencyTimeoutException: ['UNAVAILABLE', 'AWS KMS failed', 'retry'],
  KMSInternalException: ['UNAVAILABLE', 'AWS KMS failed', 'retry'],
  TimeoutError: ['UNAVAILABLE', 'AWS KMS does not answer in time', 'retry'],
};

const AWAY = 'AWS KMS cannot be reached';
/** Codes of the network. All of them may pass. */
const OF_NETWORK: Readonly<Record<string, string>> = {
  ENOTFOUND: `${AWAY}: its host name does not exist; check the region of the key in the governed record, and DNS`,
  EAI_AGAIN: `${AWAY}: DNS does not answer`,
  ECONNREFUSED: `${AWAY}: nothing listens where it should be; check the relay`,
  EHOSTUNREACH: `${AWAY}: there is no way to it; check the network and the relay`,
  ENETUNREACH: `${AWAY}: there is no way to it; check the network and the relay`,
  ECONNRESET: `${AWAY}: the connection breaks; check the relay`,
};

/** Codes of TLS for a certificate that is not KMS's. */
const CERTIFICATE =
  /^(?:CERT_|UNABLE_TO_|ERR_TLS_CERT|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_(?:CA|PURPOSE))/;

/** Judges what a call threw. */
export function judgeKmsFailure(thrown: unknown, operation: string, keyArn: string): KmsFailure {
  const facts = { operation, keyArn };
  if (isKmsError(thrown)) {
    return { error: thrown, retryable: thrown.code === 'UNAVAILABLE', isDenied: false };
  }
  // First, for the client of AWS calls a connection that breaks a TimeoutError.
  const network = systemErrorCode(thrown);
  if (network !== undefined && Object.hasOwn(OF_NETWORK, network)) {
    const message = `${operation}: ${OF_NETWORK[network]}`;
    const error = new KmsError('UNAVAILABLE', message, { ...facts, reason: network }, thrown);
    return { error, retryable: true, isDenied: false };
  }
  const name = thrown instanceof Error ? thrown.name : '';
  const rule = Object.hasOwn(RULES, name) ? RULES[name] : undefined;
  if (rule !== undefined) {
    const [code, message, retry] = rule;
    const error = new KmsError(code, `${operation}: ${message}`, { ...facts, reason: name }, thrown);
    return { error, retryable: retry === 'retry', isDenied: name === 'AccessDeniedException' };
  }
  if (network !== undefined && CERTIFICATE.test(network)) {
    const message = `${operation}: who answers in place of AWS KMS has no certificate for it`;
    const error = new KmsError('PERMISSION_DENIED', message, { ...facts, reason: network }, thrown);
    return { error, retryable: false, isDenied: false };
  }
  const status = statusOf(thrown);
  const isPassing = status === undefined || status >= 500 || status === 429;
  const message = isPassing ? 'AWS KMS cannot be reached, or failed' : 'AWS KMS refuses the request';
  const error = new KmsError(isPassing ? 'UNAVAILABLE' : 'TASK_FAILED', `${operation}: ${message}`, facts, thrown);
  return { error, retryable: isPassing, isDenied: false };
}

function statusOf(thrown: unknown): number | undefined {
  const metadata = thrown instanceof Error && '$metadata' in thrown ? thrown.$metadata : undefined;
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
      ? metadata.httpStatusCode
      : undefined;
  return typeof status === 'number' ? status : undefined;
}
