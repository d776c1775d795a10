/**
 * Bucket policies, as far as they let anonymous readers in: `Allow` and `Deny` for everybody over actions and
 * resources with wildcards. A policy with anything else (conditions, named principals) is refused when it is put.
 */
import { S3Error } from './errors.ts';

interface Statement {
  readonly allow: boolean;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
}

/** A bucket policy that was understood. */
export interface BucketPolicy {
  /** The document as it was put. */
  readonly document: string;
  /** Whether a caller without credentials may do this. */
  allowsAnyone(action: string, resource: string): boolean;
}

/**
 * Reads a policy.
 *
 * @throws S3Error `MalformedPolicy` for what is no policy; `NotImplemented` for what this server does not evaluate.
 */
export function parsePolicy(document: string): BucketPolicy {
  const statements = parseStatements(document);
  const applies = ({ actions, resources }: Statement, action: string, resource: string): boolean =>
    actions.some((pattern) => matches(pattern.toLowerCase(), action.toLowerCase())) &&
    resources.some((pattern) => matches(pattern, resource));
  return {
    document,
    allowsAnyone: (action, resource) => {
      const applying = statements.filter((statement) => applies(statement, action, resource));
      return applying.length > 0 && applying.every(({ allow }) => allow);
    },
  };
}

function parseStatements(document: string): Statement[] {
  let policy: unknown;
  try {
    policy = JSON.parse(document);
  } catch {
    throw new S3Error('MalformedPolicy');
  }
  if (!isRecord(policy)) throw new S3Error('MalformedPolicy');
  const list = Array.isArray(policy.Statement) ? policy.Statement : [policy.Statement];
  return list.map((statement: unknown) => {
    if (!isRecord(statement)) throw new S3Error('MalformedPolicy', {}, 'Missing required field Statement');
    const { Effect: effect, Principal: principal, Action: action, Resource: resource, Sid: _, ...rest } = statement;
    if (effect !== 'Allow' && effect !== 'Deny') throw new S3Error('MalformedPolicy', {}, 'Invalid effect');
    const everybody = principal === '*' || (isRecord(principal) && principal.AWS === '*');
    if (!everybody || Object.keys(rest).length > 0) {
      throw new S3Error(
        'NotImplemented',
        {},
        'this server evaluates policies for Principal "*" without conditions only',
      );
    }
    return { allow: effect === 'Allow', actions: texts(action), resources: texts(resource) };
  });
}

function texts(value: unknown): readonly string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const found = list.filter((one) => typeof one === 'string');
  if (found.length === 0 || found.length !== list.length) throw new S3Error('MalformedPolicy');
  return found;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Glob matching with `*` and `?`, in linear time per wildcard. */
function matches(pattern: string, text: string): boolean {
  let [p, t, star, mark] = [0, 0, -1, 0];
  while (t < text.length) {
    if (pattern[p] === '*') [star, mark, p] = [p, t, p + 1];
    else if (pattern[p] === '?' || pattern[p] === text[t]) [p, t] = [p + 1, t + 1];
    else if (star >= 0) [p, mark, t] = [star + 1, mark + 1, mark + 1];
    else return false;
  }
  return /^\**$/.test(pattern.slice(p));
}
