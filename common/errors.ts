/**
 * The one table of failures and the one error class of all processes.
 *
 * A code is stable API and maps to exactly one gRPC status number. Nothing here imports gRPC, so the
 * wire formats and the storage back ends may use it too.
 */

/** Every failure a caller may see, and the one gRPC status number it maps to. */
export const ERROR_STATUS = {
  CANCELLED: 1,
  REQUEST_INVALID: 3,
  CONFIG_INVALID: 3,
  CIPHERTEXT_INVALID: 3,
  KEY_INVALID: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  /** A document, chain or proof that does not verify. */
  ATTESTATION_INVALID: 7,
  /** One that verifies, from somebody who is not trusted here: release, identity, role, binding. */
  ATTESTATION_REJECTED: 7,
  RESOURCE_EXHAUSTED: 8,
  PRECONDITION_FAILED: 9,
  /** Needs governance signatures; the message and the fact `proposalDigest` name what is to be signed. */
  APPROVAL_MISSING: 9,
  STATE_INVALID: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  STORAGE_FULL: 13,
  TASK_FAILED: 13,
  UNAVAILABLE: 14,
} as const;

/** A name out of {@link ERROR_STATUS}. */
export type ErrorCode = keyof typeof ERROR_STATUS;

/** What may stand beside an error: never key bytes, shares, plaintexts or text that a peer supplied. */
export type Fact = string | number | boolean;

/**
 * An expected failure. `code` is stable API; `message` is for people and says what was wrong and what would
 * be right; `facts` go to the log and to the client, so they never hold key bytes, shares, plaintexts or
 * peer-supplied text.
 *
 * @example
 * throw new KmsError('NOT_FOUND', 'no such key on this node', { keyId });
 */
export class KmsError extends Error {
  override readonly name = 'KmsError';
  readonly code: ErrorCode;
  readonly facts: Readonly<Record<string, Fact>>;

  constructor(code: ErrorCode, message: string, facts: Readonly<Record<string, Fact>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.facts = facts;
  }
}

/** Returns whether `value` is an expected failure, optionally one of the given code. */
export function isKmsError(value: unknown, code?: ErrorCode): value is KmsError {
  return value instanceof KmsError && (code === undefined || value.code === code);
}

/** Returns whether `text` names an error code, so that a code read off a wire can be trusted to be one. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_STATUS, text);
}

/** Returns the `code` of a Node system error (`ENOENT`, `EEXIST`, …), or undefined for anything else. */
export function systemErrorCode(value: unknown): string | undefined {
  if (!(value instanceof Error) || !('code' in value)) return undefined;
  return typeof value.code === 'string' ? value.code : undefined;
}
