/**
 * Faults that a file names, for people: which calls are refused, and with which exception.
 */
import { z } from 'zod';
import { followRules } from '../follow-file.ts';
import { AwsError } from './aws-error.ts';
import type { KmsEmulatorOptions } from './server.ts';

/** What AWS KMS answers without a fault of the caller, or before it looks at the request. */
const EXCEPTIONS = {
  AccessDeniedException: [400, 'The caller is not authorized to perform this operation.'],
  DependencyTimeoutException: [503, 'The system timed out while trying to fulfill the request.'],
  ExpiredTokenException: [400, 'The security token included in the request is expired'],
  KMSInternalException: [500, 'An internal error occurred.'],
  KeyUnavailableException: [500, 'The specified KMS key was not available.'],
  LimitExceededException: [400, 'A quota was exceeded.'],
  ThrottlingException: [400, 'Rate exceeded'],
} as const satisfies Readonly<Record<string, readonly [status: number, message: string]>>;

type Exception = keyof typeof EXCEPTIONS;

const rule = z.strictObject({
  operation: z.string().optional().describe('Such as Decrypt; every operation unless set.'),
  fault: z
    .custom<Exception | 'cut'>(
      (value) => value === 'cut' || (typeof value === 'string' && Object.hasOwn(EXCEPTIONS, value)),
      `none of ${Object.keys(EXCEPTIONS).join(', ')}, cut`,
    )
    .describe('An exception; or cut: the connection is closed without an answer.'),
});

/** Returns what goes by the file, as it is at each call. */
export function faultsOfFile(path: string, tell: (line: object) => void): NonNullable<KmsEmulatorOptions['intercept']> {
  const rules = followRules(path, rule, tell);
  return (operation) => {
    const found = rules().find((one) => (one.operation ?? operation) === operation);
    if (found === undefined) return undefined;
    if (found.fault === 'cut') return 'cut';
    const [status, message] = EXCEPTIONS[found.fault];
    return new AwsError(found.fault, message, status);
  };
}
