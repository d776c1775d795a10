/**
 * The one place that turns a failure into a gRPC status. Spec: kms-service 1.5.
 *
 * The status message is as published, and opaque. What was wrong stands in google.rpc details, for people.
 */
import { ERROR_STATUS, type ErrorCode, isKmsError, type KmsError } from '../../../common/errors.ts';
import { GrpcError, type StatusDetails } from '../../grpc/status.ts';

const UNKNOWN_ID = `01${'0'.repeat(62)}`;
const MAX_MESSAGE_CHARACTERS = 1024;
/** Failures that go away by themselves, and how soon a client may ask again. */
const RETRY_AFTER_MS: Partial<Record<ErrorCode, number>> = { UNAVAILABLE: 1000, RESOURCE_EXHAUSTED: 1000 };

/** Makes the error that a client gets. `requestId` is in canonical form, or undefined if none was understood. */
export function statusOf(error: unknown, requestId: string | undefined, operation: string): GrpcError {
  if (error instanceof GrpcError) return error;
  const message = `Failed on requestID ${requestId ?? UNKNOWN_ID} with metric ${operation}${whatToDo(error)}`;
  const status = isKmsError(error) ? ERROR_STATUS[error.code] : ERROR_STATUS.INTERNAL;
  return new GrpcError(status, message.slice(0, MAX_MESSAGE_CHARACTERS), detailsOf(error), error);
}

/**
 * Whoever must sign a proposal, or show a certificate, has to learn it from any client, the ones that show no details
 * too. The published service has neither failure, so no client of its knows another text.
 */
function whatToDo(error: unknown): string {
  if (isKmsError(error, 'PERMISSION_DENIED')) return `: ${error.message}`;
  const digest = isKmsError(error, 'APPROVAL_MISSING') ? error.facts.proposalDigest : undefined;
  return typeof digest === 'string' ? `: governance must sign proposal ${digest}` : '';
}

function detailsOf(error: unknown): StatusDetails {
  if (!isKmsError(error)) return { reason: 'INTERNAL', metadata: {} };
  const metadata: Record<string, string> = { message: error.message };
  for (const [name, fact] of Object.entries(error.facts)) {
    if (name !== 'retryAfterMs') metadata[name] = String(fact);
  }
  const retryAfterMs = retryAfter(error);
  return { reason: error.code, metadata, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

function retryAfter({ code, facts }: KmsError): number | undefined {
  return typeof facts.retryAfterMs === 'number' ? facts.retryAfterMs : RETRY_AFTER_MS[code];
}
