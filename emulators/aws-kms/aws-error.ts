/**
 * Refusals as AWS words them: the exception's name, its HTTP status, its text. Clients branch on the name.
 */

/** One refusal of AWS. */
export class AwsError extends Error {
  override readonly name = 'AwsError';
  /** The exception's name, as clients see it in `error.name`. */
  readonly code: string;
  readonly status: number;

  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Returns the refusal of a request that breaks a constraint of the API. */
export function invalid(value: unknown, at: string, constraint: string): AwsError {
  const shown = value === undefined || value === null ? 'null' : `'${String(value).slice(0, 200)}'`;
  return new AwsError(
    'ValidationException',
    `1 validation error detected: Value ${shown} at '${at}' failed to satisfy constraint: ${constraint}`,
  );
}

/** Returns the refusal of a policy that AWS does not take. */
export function malformedPolicy(why: string): AwsError {
  return new AwsError('MalformedPolicyDocumentException', why);
}

/** Returns the refusal of a key that is not there. */
export function keyNotFound(arn: string): AwsError {
  return new AwsError('NotFoundException', `Key '${arn}' does not exist`);
}
