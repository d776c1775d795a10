/**
 * Faults that a file names, for people: which requests are refused, and with which error.
 */
import { z } from 'zod';
import { followRules } from '../follow-file.ts';
import { isS3ErrorCode, type S3ErrorCode } from './errors.ts';
import type { FaultHook } from './faults.ts';

const rule = z.strictObject({
  operation: z.string().optional().describe('Such as DeleteObject; every operation unless set.'),
  bucket: z.string().optional().describe('Every bucket unless set.'),
  prefix: z.string().default('').describe('Of the keys that it is about, such as PRIV-p1/.'),
  fault: z
    .custom<S3ErrorCode | 'cut'>((value) => value === 'cut' || isS3ErrorCode(value), 'no error of S3, and not cut')
    .describe('An error of S3; or cut: the connection is closed without an answer.'),
});

/** Returns a hook that goes by the file, as it is at each request. */
export function faultsOfFile(path: string, tell: (line: object) => void): FaultHook {
  const rules = followRules(path, rule, tell);
  return ({ operation, bucket, key }) => {
    const found = rules().find(
      (one) =>
        (one.operation ?? operation) === operation && (one.bucket ?? bucket) === bucket && key.startsWith(one.prefix),
    );
    if (found === undefined) return undefined;
    return found.fault === 'cut' ? { kind: 'reset' } : { kind: 'error', code: found.fault };
  };
}
