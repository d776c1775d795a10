/**
 * Policy documents: the JSON of key policies and of IAM policies, read with AWS's rules. Hostile input.
 *
 * What AWS knows and this emulator does not is refused by name, so that no policy means less here than there.
 */
import { malformedPolicy } from './aws-error.ts';
import { type Fields, isObject } from './fields.ts';
import { type Condition, readConditions } from './policy-conditions.ts';

/** Who a statement is about; empty in IAM policies, which belong to somebody. */
export interface Principals {
  /** `NotPrincipal`. */
  readonly negated: boolean;
  /** ARNs, account numbers, `*`. */
  readonly aws: readonly string[];
  /** Services and identity providers: nobody who calls this emulator is one. */
  readonly others: readonly string[];
}

/** One statement. */
export interface Statement {
  readonly sid: string | undefined;
  readonly effect: 'Allow' | 'Deny';
  readonly principals: Principals | undefined;
  readonly actions: { readonly negated: boolean; readonly patterns: readonly string[] };
  readonly resources: { readonly negated: boolean; readonly patterns: readonly string[] };
  readonly conditions: readonly Condition[];
}

/** A policy: the text that was given, which `GetKeyPolicy` returns, and its statements. */
export interface PolicyDocument {
  readonly text: string;
  readonly statements: readonly Statement[];
}

const MAX_POLICY_CHARACTERS = 32_768;
const VERSIONS = ['2012-10-17', '2008-10-17'];
const POLICY_KEYS = ['Version', 'Id', 'Statement'];
const STATEMENT_KEYS = [
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
];
const PRINCIPAL_KINDS = ['AWS', 'Service', 'Federated', 'CanonicalUser'];
const AWS_PRINCIPAL =
  /^(?:\*|\d{12}|arn:aws[a-z-]*:iam::\d{12}:(?:root|(?:user|role)\/[\w+=,.@/-]{1,640})|arn:aws[a-z-]*:sts::\d{12}:assumed-role\/[\w+=,.@-]{1,64}\/[\w+=,.@-]{1,64})$/;

/**
 * Reads a policy.
 *
 * @param kind - Key policies name principals and must have a resource; IAM policies must not name principals.
 * @throws AwsError `MalformedPolicyDocumentException`.
 */
export function readPolicy(text: string, kind: 'key' | 'identity'): PolicyDocument {
  if (text.length > MAX_POLICY_CHARACTERS) throw malformedPolicy('The policy is too long.');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformedPolicy('Policy is not valid JSON.');
  }
  if (!isObject(value)) throw malformedPolicy('Syntax errors in policy.');
  refuseUnknown(value, POLICY_KEYS);
  const version = value.Version ?? '2008-10-17';
  if (typeof version !== 'string' || !VERSIONS.includes(version))
    throw malformedPolicy('The policy version is invalid.');
  const list = Array.isArray(value.Statement) ? value.Statement : [value.Statement];
  if (list.length === 0) throw malformedPolicy('Missing required field Statement');
  const statements = list.map((item: unknown) => readStatement(item, kind, version));
  const sids = statements.flatMap(({ sid }) => (sid === undefined ? [] : [sid]));
  if (new Set(sids).size !== sids.length)
    throw malformedPolicy('Statement IDs (SID) in a single policy must be unique.');
  return { text, statements };
}

function readStatement(value: unknown, kind: 'key' | 'identity', version: string): Statement {
  if (!isObject(value)) throw malformedPolicy('Syntax errors in policy.');
  refuseUnknown(value, STATEMENT_KEYS);
  const { Sid: sid, Effect: effect } = value;
  if (sid !== undefined && typeof sid !== 'string') throw malformedPolicy('Syntax errors in policy.');
  if (effect !== 'Allow' && effect !== 'Deny') throw malformedPolicy('Invalid effect in policy statement.');
  const principals = readPrincipals(value);
  if (kind === 'key' && principals === undefined) {
    throw malformedPolicy('Policy contains a statement with no principal.');
  }
  if (kind === 'identity' && principals !== undefined) {
    throw malformedPolicy('Policy document should not specify a principal.');
  }
  return {
    sid,
    effect,
    principals,
    actions: readPatterns(value, 'Action', 'NotAction'),
    resources: readPatterns(value, 'Resource', 'NotResource'),
    conditions: readConditions(value.Condition, { variables: version === '2012-10-17' }),
  };
}

function readPrincipals(statement: Fields): Principals | undefined {
  const { Principal: plain, NotPrincipal: not } = statement;
  if (plain !== undefined && not !== undefined) throw malformedPolicy('Syntax errors in policy.');
  const value = plain ?? not;
  if (value === undefined) return undefined;
  const negated = not !== undefined;
  if (value === '*') return { negated, aws: ['*'], others: [] };
  if (!isObject(value)) throw malformedPolicy('Policy contains a statement with one or more invalid principals.');
  refuseUnknown(value, PRINCIPAL_KINDS);
  const aws = value.AWS === undefined ? [] : texts(value.AWS);
  if (aws.some((principal) => !AWS_PRINCIPAL.test(principal))) {
    throw malformedPolicy('Policy contains a statement with one or more invalid principals.');
  }
  const others = Object.entries(value).flatMap(([key, item]) => (key === 'AWS' ? [] : texts(item)));
  return { negated, aws, others };
}

function readPatterns(statement: Fields, name: string, notName: string): Statement['actions'] {
  const plain = statement[name];
  const not = statement[notName];
  if ((plain === undefined) === (not === undefined)) {
    throw malformedPolicy(`Policy statement must contain ${name === 'Action' ? 'actions' : 'resources'}.`);
  }
  return { negated: not !== undefined, patterns: texts(plain ?? not) };
}

/** One text or a list of them. */
function texts(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((item) => {
    if (typeof item !== 'string' || item === '') throw malformedPolicy('Syntax errors in policy.');
    return item;
  });
}

function refuseUnknown(value: Fields, known: readonly string[]): void {
  const strange = Object.keys(value).find((key) => !known.includes(key));
  if (strange !== undefined) throw malformedPolicy(`Unknown field ${strange.slice(0, 64)}`);
}
